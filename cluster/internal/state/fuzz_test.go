package state

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// FuzzApply shows that no bytes make Apply panic, change the state that it was applied to, or give a state that does not
// survive a snapshot.
func FuzzApply(f *testing.F) {
	node := cluster.Node{ID: "a", Roles: cluster.Proxy | cluster.Target, Weight: 1, Incarnation: 1}
	form := mustEncode(f, Command{Form: &Form{ClusterID: "c", Format: Format, Node: node}})
	b := cluster.Native("bucket")
	for _, c := range []Command{
		{Propose: &Propose{Base: 1, Nodes: []cluster.Node{{ID: "b", Incarnation: 7}}}},
		{Activate: &Activate{Version: 2, Kept: cluster.SetOf(1, 2)}},
		{Cancel: &Cancel{Version: 2}},
		{Propose: &Propose{Base: 1, Moves: map[cluster.NodeID]*cluster.SlotSet{"a": cluster.SetOf(3, cluster.SlotIn(1, 3))}}},
		{AddLayout: &AddLayout{Base: 1, Layout: cluster.Layout{Copies: 1}, Slots: []Placement{{Slots: cluster.SetOf(1), Holders: []Place{{Node: "a", InSync: true}}}}}},
		{Reshape: &Reshape{Base: 1, Changes: []Placement{{Slots: cluster.SetOf(1, 2), Holders: []Place{{Node: "a", InSync: true}, {Node: "b"}}}}}},
		{InSync: &InSync{Node: "a", Incarnation: 1, Slots: map[cluster.Epoch]*cluster.SlotSet{1: cluster.SetOf(1, cluster.SlotIn(1, 1))}}},
		{Request: "r1", CreateBucket: &CreateBucket{Bucket: b}},
		{Request: "r2", SetBucketProps: &SetBucketProps{Bucket: b}},
		{Request: "r5", SetBucketConfig: &SetBucketConfig{Bucket: b, Config: &cluster.BucketConfig{Kind: "cors", Value: []byte("{}")}}},
		{Request: "r6", CreateBucket: &CreateBucket{Bucket: cluster.Native("other"), Configs: []*cluster.BucketConfig{{Kind: "cors", Value: []byte("{}")}}}},
		{Request: "r3", BeginDelete: &BeginDelete{Bucket: b}},
		{EndDelete: &EndDelete{Deletion: 5}},
		{Request: "r5", SetModes: &SetModes{Modes: map[cluster.NodeID]cluster.NodeMode{"a": cluster.NodeMaintenance}}},
		{Request: "r5", ChangeIdentities: &ChangeIdentities{
			Change: cluster.IdentityChange{Put: cluster.Identities{Users: []cluster.User{{Name: "ann"}}}, Users: []cluster.UserName{"bob"}},
			Keys:   []Key{{ID: "AK", User: "ann"}}, RemoveKeys: []cluster.AccessKeyID{"root"},
		}},
		{Request: "r7", SetEncryptionKey: &SetEncryptionKey{Name: "k", Add: []byte{1}, Resealed: [][]byte{{2}}}},
		{Request: "r8", SetEncryptionKey: &SetEncryptionKey{Name: "k", Remove: true}},
		{Request: "r4", SetSettings: &SetSettings{Values: map[string]string{"a": "b"}}},
	} {
		f.Add(mustEncode(f, c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := New()
		for i, command := range [][]byte{form, mustEncode(t, Command{Request: "r0", CreateBucket: &CreateBucket{Bucket: b}})} {
			s, _, _ = s.Apply(uint64(i+1), command)
		}
		start := s
		before, _ := start.Snapshot()
		for i := range 2 {
			next, _, err := s.Apply(uint64(i+3), data)
			if fatal := (*FatalError)(nil); err != nil && !errors.As(err, &fatal) {
				t.Fatalf("an error that is not fatal: %v", err)
			}
			s = next
		}
		if after, _ := start.Snapshot(); !bytes.Equal(before, after) {
			t.Fatal("the state was changed in place")
		}
		data, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		restored, err := Restore(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := restored.Snapshot(); !bytes.Equal(data, again) {
			t.Fatal("another state after a snapshot")
		}
	})
}

// FuzzRestore shows that no bytes make Restore panic.
func FuzzRestore(f *testing.F) {
	data, err := New().Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, text := range []string{`{"v":1,"state":null}`, `{"v":1,"state":{"Active":null}}`, `{"v":1,"state":{"Buckets":[null]}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if s, err := Restore(data); err == nil {
			s.Apply(1, data)
		}
	})
}

func mustEncode(t testing.TB, c Command) []byte {
	c.Time = time.Unix(1, 0).UTC()
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
