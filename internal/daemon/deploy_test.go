package daemon

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose.yaml is YAML, what it starts as nodes chatd understands, and what
// services refer to is there. (It isn't run here.)
func TestCompose(t *testing.T) {
	clean(t)
	text, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Command     any
			DependsOn   yaml.Node `yaml:"depends_on"`
			Environment map[string]string
			Secrets     []string
			Healthcheck struct{ Test []string }
			Ports       []string
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	for name, s := range compose.Services {
		for _, secret := range s.Secrets {
			if compose.Secrets[secret].File == "" {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
		node := strings.HasPrefix(name, "node")
		if !node && len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
		if (name == "nginx") == (len(s.Ports) == 0) {
			t.Errorf("%s can be reached from outside by %q", name, s.Ports)
		}
		if !node {
			continue
		}
		var args []string
		for _, a := range s.Command.([]any) {
			args = append(args, a.(string))
		}
		i := slices.Index(args, "--config") // a file that is made by hand
		inv, err := parse(slices.Delete(args, i, i+2), nil)
		if err != nil || inv.Command != "serve" || len(inv.Reactor.ProxyProtocol) != 1 || s.Environment["CHATD_NODE"] != name {
			t.Errorf("%s: chatd %q: %+v, %v", name, args, inv, err)
		}
	}
	for _, name := range []string{"mariadb", "redis", "node1", "node2", "node3", "nginx"} {
		if _, ok := compose.Services[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
}
