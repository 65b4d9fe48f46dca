package daemon

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose.yaml is valid YAML, chatd accepts the command lines of its nodes, and
// the services and secrets it refers to exist. (It isn't run here.)
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
				t.Errorf("service %s uses secret %s, which isn't defined", name, secret)
			}
		}
		node := strings.HasPrefix(name, "node")
		if len(s.Healthcheck.Test) == 0 {
			t.Errorf("service %s has no health check", name)
		}
		if node {
			inv, err := parse(s.Healthcheck.Test[2:], nil)
			if err != nil || inv.Command != "health" || s.Healthcheck.Test[0] != "CMD" || s.Healthcheck.Test[1] != "/chatd" {
				t.Errorf("service %s: health check %q, want chatd health (error %v)", name, s.Healthcheck.Test, err)
			}
		}
		if (name == "nginx") == (len(s.Ports) == 0) {
			t.Errorf("service %s publishes ports %q, want ports only for nginx", name, s.Ports)
		}
		if !node {
			continue
		}
		var args []string
		for _, a := range s.Command.([]any) {
			args = append(args, a.(string))
		}
		i := slices.Index(args, "--config") // the operator writes this file
		inv, err := parse(slices.Delete(args, i, i+2), nil)
		if err != nil || inv.Command != "serve" || len(inv.Reactor.ProxyProtocol) != 1 || s.Environment["CHATD_NODE"] != name {
			t.Errorf("service %s: parse(%q) = %+v, %v; want serve with one proxy and CHATD_NODE = %s", name, args, inv, err, name)
		}
	}
	for _, name := range []string{"mariadb", "redis", "node1", "node2", "node3", "nginx"} {
		if _, ok := compose.Services[name]; !ok {
			t.Errorf("service %s is missing", name)
		}
	}
}
