package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"

	"chatd/internal/setting"
)

// bom is the byte order mark that some programs write at the start of a text.
const bom = "\ufeff"

func decodeSize(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("size", &text); err != nil {
		return err
	}
	n, err := setting.ParseSize(text)
	if err != nil {
		return err
	}
	target.SetInt(int64(n))
	return nil
}

// decodePrefix decodes a range of addresses. Its error is clearer than netip's.
func decodePrefix(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("addresses", &text); err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is not a range of addresses such as 10.0.0.0/8 or 10.0.0.1/32", text)
	}
	// Addresses are compared without the form in which IPv6 contains IPv4.
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	target.Set(reflect.ValueOf(prefix))
	return nil
}

// readFile applies the settings of --config FILE that neither the command line
// nor the environment has. An unknown key or an invalid value is an error that
// names the file and the key.
func readFile(ctx *kong.Context) error {
	flags := make(map[string]*kong.Flag)
	for _, f := range ctx.Model.Flags {
		flags[f.Name] = f
	}
	name, _ := ctx.FlagValue(flags["config"]).(string)
	if name == "" {
		return nil
	}
	var file map[string]any
	text, err := os.ReadFile(name)
	if err == nil {
		// Editors on Windows write a byte order mark.
		_, err = toml.Decode(strings.TrimPrefix(string(text), bom), &file)
	}
	if err != nil {
		return &usageError{err: fmt.Errorf("--config %s: %w", name, err)}
	}
	values := make(map[string]string, len(file))
	for key, v := range file {
		f := flags[key]
		if f == nil || len(f.Envs) == 0 || key == "config" {
			return &usageError{err: fmt.Errorf("--config %s: unknown key %q", name, key)}
		}
		text, err := fileValue(v)
		if err == nil {
			err = tryValue(f, text)
		}
		if err != nil {
			return &usageError{err: fmt.Errorf("--config %s: %s: %w", name, key, err)}
		}
		values[key] = text
	}
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		text, ok := values[f.Name]
		if !ok || slices.ContainsFunc(f.Envs, func(env string) bool { _, set := os.LookupEnv(env); return set }) {
			return nil, nil
		}
		return text, nil
	}))
	return nil
}

// exposed returns the files with passwords that other users of the machine can read:
// --config, if it contains a URL with a password, and --redis-password-file.
func exposed(inv *invocation) (files []string) {
	for _, name := range []string{inv.Settings, inv.Bus.RedisPasswordFile} {
		if name == "" {
			continue
		}
		// The mode of a credential of systemd shows an access list.
		if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && strings.HasPrefix(name, dir+"/") {
			continue
		}
		st, err := os.Stat(name)
		if err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o044 == 0 {
			continue
		}
		if text, err := os.ReadFile(name); err != nil || name == inv.Settings && withoutSecrets(string(text)) == string(text) {
			continue
		}
		files = append(files, name)
	}
	return files
}

// fileValue returns a TOML value in the form of the command line.
func fileValue(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			text, ok := p.(string)
			if !ok {
				return "", errors.New("the items of a list must be strings")
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("a setting can't be a %T: write a string, an integer, true or false, or a list of strings", v)
}

// tryValue returns an error if text isn't a valid value of f. It sets nothing.
func tryValue(f *kong.Flag, text string) error {
	scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: text})
	scratch := reflect.New(f.Target.Type()).Elem()
	if err := f.Mapper.Decode(&kong.DecodeContext{Value: f.Value, Scan: scan}, scratch); err != nil {
		return err
	}
	if f.Enum != "" && !f.EnumMap()[text] {
		return fmt.Errorf("%q is not one of %s", text, f.Enum)
	}
	return nil
}

// unknownEnv lists environment variables that begin with CHATD_ but aren't
// settings.
func unknownEnv(flags []*kong.Flag) []string {
	var unknown []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix) && !slices.ContainsFunc(flags, func(f *kong.Flag) bool { return slices.Contains(f.Envs, name) }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
