package control

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

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
		{"lease by the wall clock", flaw{wallLeases: true, focus: (*sim).setBackAndCutOff}, 200},
		{"lease by a clock that stands while the machine sleeps", flaw{sleepyClock: true, focus: (*sim).pauseOne}, 200},
		{"clocks whose rates differ by more than they may", flaw{wildRates: 0.3, focus: (*sim).cutOff}, 200},
		{"lease counted before its index is applied", flaw{control: bugCountUnapplied, focus: (*sim).cutOneWay}, 200},
		{"renewal without acknowledgement", flaw{control: bugRenewUnacknowledged, focus: (*sim).cutBeforeAcknowledging}, 200},
		{"grant without a majority's word", flaw{control: bugNoVerify, focus: (*sim).transferUnheard}, 200},
		{"grant on the word of raft's VerifyLeader", flaw{control: bugRaftVerify, focus: (*sim).transferUnheard}, 200},
		{"new leader without patience", flaw{control: bugNoGrace, focus: (*sim).cutDuringCrash}, 200},
		{"change acknowledged when committed", flaw{control: bugNoWait}, 200},
		{"slots of a silent owner move", flaw{control: bugMoveUnacknowledged}, 200},
		{"silent target counts as empty", flaw{control: bugSkipSilent, focus: (*sim).crashForLong}, 200},
		{"holder that catches up becomes the owner", flaw{instead: pretendInSync, slowBytes: 8 * time.Second, focus: (*sim).crashOwner}, 400},
		{"R1: answers of earlier epochs count", flaw{oldAnswers: true, slowDisk: 4 * time.Second, focus: (*sim).crashOne}, 200},
		{"R2: writes do not wait for who catches up", flaw{skipJoiners: true, focus: (*sim).crashForLong}, 200},
		{"R3: writes wait for the holders of before", flaw{oldHolders: true, slowDisk: 4 * time.Second, focus: (*sim).crashForLong}, 200},
		{"settling without asking the others", flaw{settleAlone: true, slowDisk: 2 * time.Second, focus: (*sim).crashOne}, 200},
		{"settling drops what is in doubt", flaw{settleDrops: true, focus: (*sim).crashOne}, 200},
		{"R4: who catches up drops what is new", flaw{dropExtras: true, slowDisk: time.Second, focus: (*sim).crashForLong}, 200},
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

// pretendInSync is a leader that says of a holder of slots which have lost their owner that it is in sync.
func pretendInSync(t *term, v *View, cmd *state.Command) *state.Command {
	if !v.state.Formed() || v.Pending() != nil || cmd != nil && cmd.Propose != nil && (len(cmd.Propose.Nodes) > 0 || cmd.Propose.Leave != "") {
		return cmd
	}
	m := v.Map()
	s := t.standings(m)
	if !slices.ContainsFunc(slices.Collect(maps.Values(s)), func(at standing) bool { return at.dead }) {
		return cmd
	}
	var lie *state.InSync
	for i := range m.Slots {
		holders := m.Slots[i].Holders
		if len(holders) == 0 || !s[holders[0].Node].dead || s.heir(holders) != "" {
			continue
		}
		for _, h := range holders {
			if n, _ := m.Node(h.Node); s[h.Node].leased && (lie == nil || lie.Node == h.Node) {
				if lie == nil {
					lie = &state.InSync{Node: n.ID, Incarnation: n.Incarnation, Slots: make(map[cluster.Epoch]*cluster.SlotSet)}
				}
				if lie.Slots[m.Slots[i].Epoch] == nil {
					lie.Slots[m.Slots[i].Epoch] = &cluster.SlotSet{}
				}
				lie.Slots[m.Slots[i].Epoch].Add(cluster.Slot(i))
			}
		}
	}
	if lie == nil {
		return cmd
	}
	return &state.Command{InSync: lie}
}
