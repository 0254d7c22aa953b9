package genai

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	fault "k8s.io/kube-openapi/pkg/validation/errors"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// Schema is a JSON schema, in the vocabulary that Kubernetes uses for its own: draft 4's, without references.
type Schema struct {
	validator *validate.SchemaValidator
	words     map[string]bool // what the names of its properties are made of
}

// ParseSchema reads a schema from JSON. A keyword that would not be enforced is an error: a schema that is only half looked
// at would pass what it forbids.
func ParseSchema(data []byte) (*Schema, error) {
	var raw any
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if err := enforceable("#", raw); err != nil {
		return nil, err
	}
	var schema spec.Schema
	if err := json.Unmarshal(data, &schema); err != nil {
		return nil, fmt.Errorf("it is no JSON schema of draft 4: %w", err)
	}
	words := map[string]bool{root: true}
	collect(raw, words)
	return &Schema{validate.NewSchemaValidator(&schema, nil, root, strfmt.Default), words}, nil
}

// root is how the value is called within messages.
const root = "content"

// collect finds the words of all names of properties within a schema.
func collect(schema any, words map[string]bool) {
	add := func(name string) {
		for word := range strings.SplitSeq(name, ".") {
			words[word] = true
		}
	}
	switch under := schema.(type) {
	case map[string]any:
		properties, _ := under["properties"].(map[string]any)
		for name := range properties {
			add(name)
		}
		required, _ := under["required"].([]any)
		for _, name := range required {
			text, _ := name.(string)
			add(text)
		}
		for _, each := range under {
			collect(each, words)
		}
	case []any:
		for _, each := range under {
			collect(each, words)
		}
	}
}

// wrong says where a value breaks the schema. It quotes nothing of the value, nor names that the schema does not.
func (s *Schema) wrong(value any) string {
	result := s.validator.Validate(value)
	if result.IsValid() {
		return ""
	}
	places := map[string]bool{}
	for _, err := range result.Errors {
		places[s.complaint(err)] = true
	}
	all := slices.Sorted(maps.Keys(places))
	return fmt.Sprintf("the content breaks the schema: %s", strings.Join(all, "; "))
}

// complaint is what the validator says, in the schema's own words.
func (s *Schema) complaint(err error) string {
	text := err.Error()
	var at *fault.Validation
	switch {
	case !errors.As(err, &at): // of a schema made of others; the place comes first, in quotes
		quoted, _ := strconv.QuotedPrefix(text)
		path, _ := strconv.Unquote(quoted)
		return s.place(path) + strings.TrimPrefix(text, quoted)
	case at.Code() == fault.UnallowedPropertyCode:
		return s.place(at.Name) + " has a property that is forbidden"
	}
	rest, _, _ := strings.Cut(strings.TrimPrefix(text, at.Name), ": ") // what follows quotes the value
	return s.place(at.Name) + rest
}

var indices = regexp.MustCompile(`(\[\d+\])+$`)

// place is where in the value something is wrong, as far as the schema has names for it: all others are the model's.
func (s *Schema) place(path string) string {
	steps := strings.Split(path, ".")
	for i, step := range steps {
		if !s.words[indices.ReplaceAllString(step, "")] {
			return strings.Join(append(steps[:i:i], "…"), ".")
		}
	}
	return path
}

// What a keyword's value holds: nothing to look into, a schema, a list of schemas, or schemas by name.
const (
	plain = iota
	one
	several
	named
)

// keywords are those that are enforced, and those that say nothing of the value.
var keywords = map[string]int{
	"type": plain, "enum": plain, "format": plain, "pattern": plain, "required": plain, "minimum": plain, "maximum": plain,
	"exclusiveMinimum": plain, "exclusiveMaximum": plain, "multipleOf": plain, "minLength": plain, "maxLength": plain,
	"minItems": plain, "maxItems": plain, "uniqueItems": plain, "minProperties": plain, "maxProperties": plain,
	"properties": named, "patternProperties": named, "items": one, "additionalProperties": one, "not": one,
	"allOf": several, "anyOf": several, "oneOf": several,
	"$schema": plain, "$id": plain, "id": plain, "$comment": plain, "title": plain, "description": plain, "default": plain,
}

// formats are those that are enforced.
var formats = []string{"date", "date-time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"}

// enforceable fails on what the validator would let through unlooked at.
func enforceable(where string, schema any) error {
	object, ok := schema.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: want a schema, which is a JSON object", where)
	}
	for _, word := range slices.Sorted(maps.Keys(object)) {
		holds, known := keywords[word]
		value, at := object[word], where+"/"+word
		if !known {
			return fmt.Errorf("%s: this keyword is not supported; write the schema with those of draft 4, without $ref", at)
		}
		if err := enforceableWord(word, at, value); err != nil {
			return err
		}
		if err := descend(holds, at, value); err != nil {
			return err
		}
	}
	return nil
}

func enforceableWord(word, at string, value any) error {
	text, _ := value.(string)
	switch word {
	case "format":
		if !slices.Contains(formats, text) {
			return fmt.Errorf("%s: format %q is not supported; want one of %s", at, text, strings.Join(formats, ", "))
		}
	case "pattern":
		if _, err := regexp.Compile(text); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

func descend(holds int, at string, value any) error {
	switch under := value.(type) {
	case map[string]any:
		switch holds {
		case one:
			return enforceable(at, under)
		case named:
			for _, name := range slices.Sorted(maps.Keys(under)) {
				if err := namedSchema(at, name, under[name]); err != nil {
					return err
				}
			}
		}
	case []any:
		if holds == one {
			return fmt.Errorf("%s: want one schema for all, not a list", at)
		}
		for i, each := range under {
			if holds == several {
				if err := enforceable(fmt.Sprintf("%s/%d", at, i), each); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func namedSchema(at, name string, schema any) error {
	if strings.HasSuffix(at, "/patternProperties") {
		if _, err := regexp.Compile(name); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return enforceable(at+"/"+name, schema)
}
