package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"
)

//go:generate go test -run TestShippedJSONSchema -update .

// SchemaURL is where editors find the JSON Schema of the policy file.
const SchemaURL = "https://raw.githubusercontent.com/reaperdb/reaper/main/policy/reaper.schema.json"

// Modeline is the comment by which editors check a policy file as it is written. It is the first line.
const Modeline = "# yaml-language-server: $schema=" + SchemaURL

// JSONSchema returns the JSON Schema of the policy file, for editors and other checkers.
// It is generated from the types that Parse reads and describes the shape of the file;
// Parse also checks rules that span several parts. It ships as policy/reaper.schema.json.
func JSONSchema() ([]byte, error) {
	s := reflector().ReflectFromType(reflect.TypeFor[document]())
	s.Title = "reaper policy file"
	s.Description = "Which rows of a PostgreSQL database expire, and when: reaper.yaml, version 1."
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("encoding the JSON Schema: %w", err)
	}
	return b.Bytes(), nil
}

func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     leafSchema,
	}
}

// leafSchema returns the schema of a type that decodes itself.
func leafSchema(t reflect.Type) *jsonschema.Schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if l, ok := reflect.New(t).Interface().(leaf); ok {
		return l.schema()
	}
	return nil
}
