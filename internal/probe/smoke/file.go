package smoke

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// fileForm is a file of endpoints.
type fileForm struct {
	Endpoints []endpointYAML `yaml:"endpoints"`
}

// endpointYAML is an Endpoint as it is written down. What is left out of it, the flags say.
type endpointYAML struct {
	Name         string            `yaml:"name"`
	Method       string            `yaml:"method"`
	Path         string            `yaml:"path"`
	Headers      map[string]string `yaml:"headers"`
	Body         string            `yaml:"body"`
	Status       statuses          `yaml:"status"`
	BodyRegex    *pattern          `yaml:"bodyRegex"`
	BodyContains part              `yaml:"bodyContains"`
	MaxLatency   *length           `yaml:"maxLatency"`
	Retries      *int              `yaml:"retries"`
}

// ParseFile reads endpoints from YAML. What it does not know, and what is left empty, is an error with its line: a misspelt
// expectation would pass, as would one without a value.
// Where an endpoint says nothing of latency, retries or body, it is as defaults says.
func ParseFile(data []byte, defaults Endpoint) ([]Endpoint, error) {
	var whole yaml.Node
	if err := yaml.Unmarshal(data, &whole); err != nil {
		return nil, plain(err)
	}
	if err := filled(&whole, ""); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var form fileForm
	if err := decoder.Decode(&form); err != nil && !errors.Is(err, io.EOF) {
		return nil, plain(err)
	}
	if decoder.Decode(new(yaml.Node)) == nil {
		return nil, errors.New("more than one YAML document: put all endpoints into the first")
	}
	if len(form.Endpoints) == 0 {
		return nil, errors.New("it names no endpoint: list them under the key endpoints")
	}
	var all []Endpoint
	for i, y := range form.Endpoints {
		e, err := y.endpoint(defaults)
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// filled fails on the first key below a node, and the first item of the list that key holds, that is left empty: the decoder
// would take it for one that is not there.
func filled(node *yaml.Node, key string) error {
	for i, value := range node.Content {
		line := value.Line
		if node.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue // a key; its value comes next
			}
			key, line = node.Content[i-1].Value, node.Content[i-1].Line
		}
		if node.Kind != yaml.DocumentNode && value.ShortTag() == "!!null" {
			return fmt.Errorf("line %d: %s is left empty: give it a value, or leave it out", line, key)
		}
		if err := filled(value, key); err != nil {
			return err
		}
	}
	return nil
}

func (y endpointYAML) endpoint(e Endpoint) (Endpoint, error) {
	e.Name, e.Method, e.Path, e.Body, e.Statuses = y.Name, y.Method, y.Path, y.Body, y.Status
	e.Header = http.Header{}
	for name, value := range y.Headers {
		e.Header.Set(name, value)
	}
	if y.BodyRegex != nil || y.BodyContains != "" {
		e.BodyRegex, e.BodyContains = nil, string(y.BodyContains)
	}
	if y.BodyRegex != nil {
		e.BodyRegex = y.BodyRegex.Regexp
	}
	if y.MaxLatency != nil {
		e.MaxLatency = time.Duration(*y.MaxLatency)
	}
	if y.Retries != nil {
		e.Retries = *y.Retries
	}
	return e, e.complete()
}

// statuses is one status or a list of them.
type statuses []int

func (s *statuses) UnmarshalYAML(node *yaml.Node) error {
	var one int
	if node.Kind == yaml.ScalarNode && node.Decode(&one) == nil {
		*s = statuses{one}
		return nil
	}
	var all []int
	if err := node.Decode(&all); err != nil || len(all) == 0 {
		return fmt.Errorf("line %d: status: want 200, or a list like [200, 204]", node.Line)
	}
	*s = all
	return nil
}

// pattern is a regular expression.
type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalYAML(node *yaml.Node) error {
	compiled, err := regexp.Compile(node.Value)
	if err != nil || node.Kind != yaml.ScalarNode || node.Value == "" {
		return fmt.Errorf("line %d: %q is no regular expression: see https://pkg.go.dev/regexp/syntax", node.Line, node.Value)
	}
	p.Regexp = compiled
	return nil
}

// part is what a body contains. Every body contains an empty one.
type part string

func (p *part) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.Value == "" {
		return fmt.Errorf("line %d: bodyContains: want some text that the body contains", node.Line)
	}
	*p = part(node.Value)
	return nil
}

// length is a length of time.
type length time.Duration

func (l *length) UnmarshalYAML(node *yaml.Node) error {
	d, err := time.ParseDuration(node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no length of time: write 500ms or 2s", node.Line, node.Value)
	}
	*l = length(d)
	return nil
}

var unknown = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plain says what the YAML library says, without its name and those of our types.
func plain(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.ReplaceAll(strings.TrimPrefix(text, "unmarshal errors:\n  "), "\n  ", "; ")
	return errors.New(unknown.ReplaceAllString(text, "unknown key $1"))
}
