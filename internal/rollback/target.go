package rollback

import (
	"cmp"
	"errors"
	"slices"
)

// Candidate is one ReplicaSet that a rollout could go back to.
type Candidate struct {
	Hash     string
	Revision int
	Kept     bool // it has a scale-down deadline: it served until a moment ago
	Replicas int
	Bad      bool // an analysis failed on it, or an earlier rollback left it
}

// ErrNoTarget says that no version is known to go back to.
var ErrNoTarget = errors.New("no last good version is known: no earlier ReplicaSet is left that has not failed; set a good image with 'kubectl argo rollouts set image'")

// LastGood names the version to return to. While an update is under way that is the stable one. Once fully promoted,
// Argo records no previous stable version, so it is the best of the ReplicaSets that are left: one that served until a
// moment ago, then one that still has pods, then the newest.
func LastGood(stable, current string, candidates []Candidate) (string, error) {
	if stable != "" && stable != current {
		return stable, nil
	}
	var good []Candidate
	for _, c := range candidates {
		if c.Hash != current && !c.Bad {
			good = append(good, c)
		}
	}
	if len(good) == 0 {
		return "", ErrNoTarget
	}
	return slices.MaxFunc(good, func(a, b Candidate) int {
		return cmp.Or(rank(a.Kept, b.Kept), rank(a.Replicas > 0, b.Replicas > 0), cmp.Compare(a.Revision, b.Revision))
	}).Hash, nil
}

func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
