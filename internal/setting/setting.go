// Package setting helps packages whose Config struct has settings of chatd:
// defaults from the struct's tags, sizes, and checks of values.
//
// A setting is declared once, as a field of such a struct. The field's tags
// have the flag's name, default and help; the daemon builds the command line
// from them. The field has the flag's name in Go's spelling:
//
//	MaxHeld int `name:"max-held" type:"size" default:"1MiB" placeholder:"SIZE" help:"…"`
//
// type:"size" is a number of bytes. common:"" puts the setting into the short
// help. kong:"-" is on exported fields that aren't settings.
package setting

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Defaults sets each field of the struct that config points to, and that has
// a default tag, to the value of that tag. It panics if a tag can't be read.
func Defaults(config any) {
	v := reflect.ValueOf(config).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		text, ok := field.Tag.Lookup("default")
		if !ok {
			continue
		}
		if err := set(v.Field(i), field.Tag.Get("type"), text); err != nil {
			panic(fmt.Sprintf("setting: %s.%s: default %q: %v", v.Type(), field.Name, text, err))
		}
	}
}

// set sets a field to the value that text stands for. kind is the field's type tag.
func set(field reflect.Value, kind, text string) error {
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch {
	case field.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		field.SetInt(int64(d))
		return err
	case kind == "size":
		n, err := ParseSize(text)
		field.SetInt(int64(n))
		return err
	case field.CanInt():
		n, err := strconv.ParseInt(text, 10, field.Type().Bits())
		field.SetInt(n)
		return err
	case field.Kind() == reflect.String:
		field.SetString(text)
		return nil
	case field.Type() == reflect.TypeFor[[]string]():
		field.Set(reflect.ValueOf(strings.Split(text, ",")))
		return nil
	}
	return fmt.Errorf("a %s can't have a default", field.Type())
}
