package build

import (
	"context"
	"fmt"
	"go/version"
	"maps"
	"os"
	"path/filepath"
	"time"

	"tidegate.io/tidegate/internal/lab/proc"
)

// builder is one call of Ensure.
type builder struct {
	opts    Options
	modules []module
}

func newBuilder(opts Options, modules []module) *builder {
	return &builder{opts, modules}
}

// ensure returns name → path of all tools.
func (b *builder) ensure(ctx context.Context) (map[string]string, error) {
	paths, missing, wantedGo, err := b.split()
	if err != nil || len(missing) == 0 {
		return paths, err
	}
	cache, err := openCache(b.opts.Cache)
	if err != nil {
		return nil, err
	}
	tc, err := findGo(ctx, wantedGo, missing)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, s := range describe(b.modules, tc.version, missing) {
		if !b.cached(cache, s, paths) {
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return paths, nil
	}
	return paths, b.build(ctx, cache, tc, steps, paths)
}

// split returns the tools that are provided, the names of those that are not, and the newest Go that those want.
func (b *builder) split() (paths map[string]string, missing []string, wantedGo string, err error) {
	paths = map[string]string{}
	for _, m := range b.modules {
		var names []string
		for _, t := range m.tools {
			names = append(names, t.name)
		}
		found, err := b.opts.provided(names)
		if err != nil {
			return nil, nil, "", err
		}
		maps.Copy(paths, found)
		for _, name := range names {
			if path, ok := found[name]; ok {
				b.emit(Event{Name: name, Phase: Provided, Path: path})
				continue
			}
			missing = append(missing, name)
			if version.Compare(m.pin.goVersion, wantedGo) > 0 {
				wantedGo = m.pin.goVersion
			}
		}
	}
	return paths, missing, wantedGo, nil
}

// cached adds the step's binaries to paths if the cache has them.
func (b *builder) cached(cache cache, s Step, paths map[string]string) bool {
	found, err := cache.look(s)
	if err != nil {
		return false // why does not matter: it is built anew
	}
	maps.Copy(paths, found)
	b.emit(Event{Name: s.Module, Phase: Cached})
	return true
}

// build builds the steps one after the other: each takes all cores.
func (b *builder) build(ctx context.Context, cache cache, tc toolchain, steps []Step, paths map[string]string) error {
	begin := time.Now()
	unlock, err := cache.lock(ctx, func() {
		b.emit(Event{Name: steps[0].Module, Phase: Waiting, Elapsed: time.Since(begin)})
	})
	if err != nil {
		return err
	}
	defer unlock()
	if err := cache.sweep(time.Now()); err != nil {
		return err
	}
	launcher := proc.NewLauncher() // so that a killed Tidegate takes go with it; the compilers that run at that moment end by themselves
	defer launcher.Close()
	for _, s := range steps {
		if b.cached(cache, s, paths) { // the one we waited for has built it
			continue
		}
		begin := time.Now()
		r := run{
			step: s, toolchain: tc, launcher: launcher,
			emit: func(e Event) { e.Name, e.Elapsed = s.Module, time.Since(begin); b.emit(e) },
		}
		built, err := buildStep(ctx, cache, s, &r)
		if err != nil {
			return fmt.Errorf("build %s: %w", s.Module, explain(err, cache.dir))
		}
		maps.Copy(paths, built)
		r.emit(Event{Phase: Done, Done: r.total, Total: r.total})
	}
	return nil
}

// buildStep builds in a folder beside the entry, which appears whole or not at all.
func buildStep(ctx context.Context, cache cache, s Step, r *run) (_ map[string]string, err error) {
	temp, err := cache.temp()
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(temp) }() // what this cannot remove, the next build's sweep will
	r.dir = filepath.Join(temp, "src")
	r.temp = filepath.Join(temp, "work")
	entry := filepath.Join(temp, "entry")
	for _, dir := range []string{r.dir, r.temp, filepath.Join(entry, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string][]byte{"go.mod": s.module.pin.mod, "go.sum": s.module.pin.sum} {
		if err := os.WriteFile(filepath.Join(r.dir, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	if err := r.list(ctx); err != nil {
		return nil, err
	}
	if err := r.build(ctx, filepath.Join(entry, "bin")); err != nil {
		return nil, err
	}
	for _, t := range s.module.tools {
		if t.built == "" {
			continue
		}
		from, to := filepath.Join(entry, "bin", t.built), filepath.Join(entry, "bin", t.name)
		if err := os.Rename(from, to); err != nil && !os.IsNotExist(err) { // it may be none of this step's
			return nil, err
		}
	}
	return cache.put(s, entry)
}

func (b *builder) emit(e Event) {
	if b.opts.Progress != nil {
		b.opts.Progress(e)
	}
}
