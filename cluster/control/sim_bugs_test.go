package control

import (
	"testing"
)

// TestPlantedBugs shows that the checks are worth something: each of these mistakes must be found within some seeds.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("needs many seeds")
	}
	for _, planted := range []struct {
		name   string
		flaw   flaw
		within uint64 // seeds
	}{
		{"lease checked before the read", flaw{leaseBeforeRead: true}, 100},
		{"view loaded before the lease is checked", flaw{viewBeforeLease: true}, 100},
		{"lease counted from the answer", flaw{control: bugCountFromReceipt}, 100},
		{"lease counted before its index is applied", flaw{control: bugCountUnapplied}, 100},
		{"renewal without acknowledgement", flaw{control: bugRenewUnacknowledged}, 100},
		{"grant without a majority's word", flaw{control: bugNoVerify}, 100},
		{"grant on the word of raft's VerifyLeader", flaw{control: bugRaftVerify}, 100},
		{"new leader without patience", flaw{control: bugNoGrace}, 100},
		{"change acknowledged when committed", flaw{control: bugNoWait}, 100},
		{"slots of a silent owner move", flaw{control: bugMoveUnacknowledged}, 100},
		{"silent target counts as empty", flaw{control: bugSkipSilent}, 100},
	} {
		t.Run(planted.name, func(t *testing.T) {
			for seed := uint64(1); seed <= planted.within; seed++ {
				if found := runSeed(t, seed, planted.flaw).violations(); len(found) > 0 {
					t.Logf("seed %d: %s", seed, found[0])
					return
				}
			}
			t.Errorf("%d seeds did not find it", planted.within)
		})
	}
}
