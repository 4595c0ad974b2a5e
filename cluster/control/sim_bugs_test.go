package control

import "testing"

// TestPlantedBugs shows that the checks are worth something: each of these mistakes must be found within some seeds.
func TestPlantedBugs(t *testing.T) {
	for _, planted := range []struct {
		name   string
		flaw   flaw
		within uint64 // seeds
	}{
		{"lease checked before the read", flaw{leaseBeforeRead: true, focus: (*sim).pauseOne}, 200},
		{"view loaded before the lease is checked", flaw{viewBeforeLease: true, focus: (*sim).cutOff}, 200},
		{"lease counted from the answer", flaw{control: bugCountFromReceipt, focus: (*sim).pauseWhileWaiting}, 200},
		{"lease counted before its index is applied", flaw{control: bugCountUnapplied, focus: (*sim).cutOneWay}, 200},
		{"renewal without acknowledgement", flaw{control: bugRenewUnacknowledged, focus: (*sim).cutBeforeAcknowledging}, 200},
		{"grant without a majority's word", flaw{control: bugNoVerify, focus: (*sim).transferUnheard}, 200},
		{"grant on the word of raft's VerifyLeader", flaw{control: bugRaftVerify, focus: (*sim).transferUnheard}, 200},
		{"new leader without patience", flaw{control: bugNoGrace, focus: (*sim).cutDuringCrash}, 200},
		{"change acknowledged when committed", flaw{control: bugNoWait}, 200},
		{"slots of a silent owner move", flaw{control: bugMoveUnacknowledged}, 200},
		{"silent target counts as empty", flaw{control: bugSkipSilent, focus: (*sim).crashForLong}, 200},
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
