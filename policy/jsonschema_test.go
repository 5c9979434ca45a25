package policy_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/reaperdb/reaper/policy"
)

var update = flag.Bool("update", false, "write reaper.schema.json instead of comparing it")

const shipped = "reaper.schema.json"

func TestShippedJSONSchema(t *testing.T) {
	want, err := policy.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(shipped, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the types say; go generate writes it anew:\n%s", shipped, diff)
	}
}

func TestJSONSchemaAcceptsExamples(t *testing.T) {
	s := compileSchema(t)
	for _, path := range exampleFiles(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestJSONSchemaRefusesMistakes(t *testing.T) {
	s := compileSchema(t)
	for _, m := range mistakes {
		if m.shape && s.Validate(asJSON(t, []byte(m.file))) == nil {
			t.Errorf("%s\naccepted by the JSON Schema, want it refused", m.file)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := policy.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(shipped, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON converts YAML as an editor does before it applies a schema.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	text, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return doc
}
