package front

import (
	"errors"
	"testing"

	"github.com/aisle-store/aisle/cluster"
)

// leaseOf is a control plane of which only the lease is asked.
type leaseOf struct {
	Control
	ask func() error
}

// CheckLease implements Control.
func (l leaseOf) CheckLease() error { return l.ask() }

// TestRefusalsNeedALease: what was looked up before the lease came is looked up again under it.
func TestRefusalsNeedALease(t *testing.T) {
	refusal := errors.New("there is no such key")
	known := false // whether the node has applied the key
	var lease error
	f := &Front{o: Options{Control: leaseOf{ask: func() error {
		known = known || lease == nil // a lease counts when everything is applied
		return lease
	}}}}
	verify := func() error {
		if known {
			return nil
		}
		return refusal
	}
	lease = cluster.Fail("test", "", cluster.KindUnavailable, "no lease")
	if err := f.ifSure(verify); !cluster.Is(err, cluster.KindUnavailable) {
		t.Errorf("without a lease: %v", err)
	}
	lease = nil
	if err := f.ifSure(verify); err != nil {
		t.Errorf("the lease comes after the look: %v", err)
	}
	if err := f.ifSure(func() error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("with a lease: %v", err)
	}
}
