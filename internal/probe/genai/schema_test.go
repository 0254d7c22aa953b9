package genai

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestEveryKeywordBites: a keyword that the probe accepts must forbid something.
func TestEveryKeywordBites(t *testing.T) {
	tests := map[string]struct{ schema, good, bad string }{
		"type":                 {`{"type":"integer"}`, `5`, `"5"`},
		"enum":                 {`{"enum":["a","b"]}`, `"a"`, `"c"`},
		"pattern":              {`{"pattern":"^a+$"}`, `"aa"`, `"ab"`},
		"required":             {`{"required":["a"]}`, `{"a":1}`, `{"b":1}`},
		"minimum":              {`{"minimum":2}`, `2`, `1`},
		"maximum":              {`{"maximum":2}`, `2`, `3`},
		"exclusiveMinimum":     {`{"minimum":2,"exclusiveMinimum":true}`, `3`, `2`},
		"exclusiveMaximum":     {`{"maximum":2,"exclusiveMaximum":true}`, `1`, `2`},
		"multipleOf":           {`{"multipleOf":3}`, `9`, `10`},
		"minLength":            {`{"minLength":2}`, `"ab"`, `"a"`},
		"maxLength":            {`{"maxLength":2}`, `"ab"`, `"abc"`},
		"minItems":             {`{"minItems":2}`, `[1,2]`, `[1]`},
		"maxItems":             {`{"maxItems":2}`, `[1,2]`, `[1,2,3]`},
		"uniqueItems":          {`{"uniqueItems":true}`, `[1,2]`, `[1,1]`},
		"minProperties":        {`{"minProperties":1}`, `{"a":1}`, `{}`},
		"maxProperties":        {`{"maxProperties":1}`, `{"a":1}`, `{"a":1,"b":2}`},
		"properties":           {`{"properties":{"a":{"type":"string"}}}`, `{"a":"x"}`, `{"a":1}`},
		"patternProperties":    {`{"patternProperties":{"^a":{"type":"string"}}}`, `{"ab":"x"}`, `{"ab":1}`},
		"items":                {`{"items":{"type":"string"}}`, `["x"]`, `["x",1]`},
		"additionalProperties": {`{"properties":{"a":{}},"additionalProperties":false}`, `{"a":1}`, `{"a":1,"b":2}`},
		"not":                  {`{"not":{"type":"string"}}`, `1`, `"x"`},
		"allOf":                {`{"allOf":[{"type":"string"},{"minLength":2}]}`, `"ab"`, `"a"`},
		"anyOf":                {`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `null`, `1`},
		"oneOf":                {`{"oneOf":[{"minimum":1},{"minimum":2}]}`, `1`, `2`},
		"format":               {`{"format":"date"}`, `"2026-11-24"`, `"soon"`},
	}
	silent := []string{"$schema", "$id", "id", "$comment", "title", "description", "default"}
	for word := range keywords {
		if _, bites := tests[word]; !bites && !slices.Contains(silent, word) {
			t.Errorf("keyword %s is accepted, and no test shows what it forbids", word)
		}
	}
	for word, test := range tests {
		if wrong := judged(t, test.schema, test.good); wrong != "" {
			t.Errorf("%s: %s breaks %s: %s", word, test.good, test.schema, wrong)
		}
		if wrong := judged(t, test.schema, test.bad); wrong == "" {
			t.Errorf("%s: %s keeps %s", word, test.bad, test.schema)
		}
	}
}

func TestEveryFormatBites(t *testing.T) {
	good := map[string]string{
		"date": "2026-11-24", "date-time": "2026-11-24T10:00:00Z", "email": "a@b.org", "hostname": "shop.example.org",
		"ipv4": "10.0.0.1", "ipv6": "::1", "uri": "https://shop.example.org/a", "uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
	}
	for _, format := range formats {
		schema := `{"type":"string","format":"` + format + `"}`
		if wrong := judged(t, schema, `"`+good[format]+`"`); wrong != "" {
			t.Errorf("%s: %s", format, wrong)
		}
		if judged(t, schema, `"not one, !"`) == "" {
			t.Errorf("%s forbids nothing", format)
		}
	}
}

func TestNoValueIsQuoted(t *testing.T) {
	for _, schema := range []string{
		`{"type":"integer"}`, `{"enum":["a"]}`, `{"pattern":"^a$"}`, `{"maxLength":2}`, `{"format":"uuid"}`, `{"oneOf":[{"type":"null"}]}`,
		`{"not":{"type":"string"}}`,
	} {
		if wrong := judged(t, schema, `"s3cret"`); wrong == "" || strings.Contains(wrong, "s3cret") {
			t.Errorf("%s: %q", schema, wrong)
		}
	}
	for schema, want := range map[string]string{
		`{"additionalProperties":false}`:                          "content has a property that is forbidden",
		`{"additionalProperties":{"type":"integer"}}`:             "content.… in body must be of type integer",
		`{"patternProperties":{"s3":{"type":"integer"}}}`:         "content.… in body must be of type integer",
		`{"additionalProperties":{"not":{}}}`:                     `content.… must not validate the schema (not)`,
		`{"additionalProperties":{"oneOf":[{"type":"null"}]}}`:    "content.… must validate one and only one schema (oneOf). Found none valid",
		`{"additionalProperties":{"items":{"type":"integer"}}}`:   "content.… in body must be of type integer",
		`{"additionalProperties":{"additionalProperties":false}}`: "content.… has a property that is forbidden",
	} {
		seen := false
		for _, value := range []string{
			`{"s3cret":["x"]}`, `{"s3cret: a \"in body":["x"]}`, `{"content s3cret[1]":["x"]}`, `{"s3.content.s3cret":["x"]}`, `{"s3":{"s3cret":1}}`,
		} {
			wrong := judged(t, schema, value)
			seen = seen || strings.Contains(wrong, want)
			if strings.Contains(wrong, "s3") {
				t.Errorf("%s, %s: %q", schema, value, wrong)
			}
		}
		if !seen {
			t.Errorf("%s: nothing that breaks it was told as %q", schema, want)
		}
	}
	if wrong := judged(t, `{"properties":{"a.b":{"type":"integer"}}}`, `{"a.b":"s3cret"}`); !strings.Contains(wrong, "content.a.b in body") {
		t.Errorf("%q, want the name that the schema has", wrong)
	}
	wrong := judged(t, `{"properties":{"a":{"items":{"type":"integer"}}}}`, `{"a":[1,"s3cret"]}`)
	if !strings.Contains(wrong, "content.a[1]") && !strings.Contains(wrong, "content.a.1") || strings.Contains(wrong, "s3cret") {
		t.Errorf("%q, want the place and not the value", wrong)
	}
}

func TestHalfEnforcedSchemasAreRefused(t *testing.T) {
	for schema, want := range map[string]string{
		`{`:                                   "no JSON",
		`true`:                                "#: want a schema",
		`{"const":1}`:                         "#/const: this keyword is not supported",
		`{"properties":{"a":{"$ref":"#/b"}}}`: "#/properties/a/$ref",
		`{"items":{"if":{}}}`:                 "#/items/if",
		`{"items":[{}]}`:                      "#/items: want one schema for all",
		`{"anyOf":[{},{"prefixItems":[]}]}`:   "#/anyOf/1/prefixItems",
		`{"additionalProperties":{"x":1}}`:    "#/additionalProperties/x",
		`{"properties":{"a":1}}`:              "#/properties/a: want a schema",
		`{"pattern":"("}`:                     "#/pattern",
		`{"patternProperties":{"(":{}}}`:      "#/patternProperties",
		`{"format":"color"}`:                  "#/format: format \"color\"",
		`{"minimum":1,"exclusiveMinimum":1}`:  "no JSON schema of draft 4",
		`{"required":true}`:                   "no JSON schema of draft 4",
	} {
		if _, err := ParseSchema([]byte(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", schema, err, want)
		}
	}
}

// judged is what is wrong with a value.
func judged(t *testing.T, schema, value string) string {
	t.Helper()
	parsed, err := ParseSchema([]byte(schema))
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	var content any
	if err := json.Unmarshal([]byte(value), &content); err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return parsed.wrong(content)
}
