package visual

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/visual/pixel"
)

// maxInline bounds the pictures within a result, in bytes of them all: the result must fit into a pod's log.
const maxInline = 64 << 10

// evidence keeps what was seen of a pair: files in c.Out, and within the result what differs.
func (c Config) evidence(p pair, failed bool) (map[string]string, error) {
	inline := c.Inline && failed && p.difference.Differing > 0
	if c.Out == "" && !inline {
		return nil, nil
	}
	kept := map[string]string{}
	pictures := map[string]*image.NRGBA{"active": p.active.picture, "preview": p.preview.picture}
	if p.active.picture != nil && p.preview.picture != nil {
		pictures["diff"] = pixel.Picture(p.active.picture, p.preview.picture, p.masks, c.Tolerance)
	}
	var err error
	if c.Out != "" {
		err = c.keep(p.path, pictures, kept)
	}
	if inline {
		uri, shrunk, problem := pixel.Inline(pictures["diff"], p.difference.Box, maxInline/len(c.Paths))
		err = errors.Join(err, problem)
		if uri != "" {
			kept["inline"] = uri
		}
		if uri != "" && shrunk > 1 {
			kept["inlineScale"] = fmt.Sprintf("1:%d", shrunk)
		}
	}
	return kept, err
}

// keep writes the pictures of a path into a folder of its own.
func (c Config) keep(path string, pictures map[string]*image.NRGBA, kept map[string]string) error {
	dir := filepath.Join(c.Out, slug(path))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"active", "preview", "diff"} {
		file := filepath.Join(dir, name+".png")
		if pictures[name] == nil {
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err // what an earlier probe left there is not this one's evidence
			}
			continue
		}
		data, err := pixel.PNG(pictures[name])
		if err != nil {
			return err
		}
		if err := write(file, data); err != nil {
			return err
		}
		kept[name] = file
	}
	return nil
}

// write puts a file in its place whole, or not at all.
func write(file string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // it fails once the file is renamed
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9]+`)

// slug is the name of a path's folder. Paths that read alike get different ones.
func slug(path string) string {
	words := strings.Trim(unfit.ReplaceAllString(path, "-"), "-")
	switch {
	case path == "/":
		return "index"
	case "/"+strings.ReplaceAll(words, "-", "/") == path && words != "index":
		return words
	}
	sum := sha256.Sum256([]byte(path))
	plain, _, _ := strings.Cut(path, "?") // a query may hold a secret, and the folder's name is told
	return strings.Trim(unfit.ReplaceAllString(plain, "-")+fmt.Sprintf("-%x", sum[:4]), "-")
}

// attach adds a pair's evidence to its check.
func (c Config) attach(r *probe.Result, check probe.Check, p pair) {
	kept, err := c.evidence(p, check.Verdict == probe.Failed)
	if err != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the pictures of %s are not all kept: %v", check.Name, err))
	}
	check.Evidence = kept
	r.Checks = append(r.Checks, check)
}
