package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const manifestName = "manifest.json"

// manifest is what a build says about its binaries.
type manifest struct {
	Step  Step     `json:"step"`
	Files []binary `json:"files"`
}

type binary struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256"`
}

// writeManifest also has every binary reach the disk.
func writeManifest(entry string, s Step) error {
	m := manifest{Step: s}
	for _, name := range s.Components {
		path := filepath.Join(entry, "bin", name)
		if err := syncPath(path); err != nil {
			return err
		}
		sum, err := hashFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, binary{name, info.Size(), info.ModTime(), sum})
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(entry, manifestName)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	return syncPath(path)
}

func readManifest(entry string) (manifest, error) {
	var m manifest
	text, err := os.ReadFile(filepath.Join(entry, manifestName))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// verify reports what is wrong with the entry's binaries.
//
// Size and time of change decide where they can: it takes microseconds, and an entry is only ever moved in whole and
// synced. Hashing all would add most of a second, or several without SHA instructions, to every start, against nobody
// in particular: whoever can change a binary can change its manifest too. Only where the time differs, as after a
// restored backup, the hash decides.
func (m manifest) verify(entry string, s Step) error {
	for _, name := range s.Components {
		at := slices.IndexFunc(m.Files, func(b binary) bool { return b.Name == name })
		if at < 0 {
			return fmt.Errorf("%s is not in the manifest", name)
		}
		want, path := m.Files[at], filepath.Join(entry, "bin", name)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 || info.Size() != want.Size {
			return fmt.Errorf("%s is not what was built", name)
		}
		if info.ModTime().Equal(want.Modified) {
			continue
		}
		if sum, err := hashFile(path); err != nil || sum != want.SHA256 {
			return fmt.Errorf("%s is not what was built: %w", name, err)
		}
		// So that the next time is quick. If it fails the next time is slow.
		_ = os.Chtimes(path, want.Modified, want.Modified)
	}
	return nil
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
