package gossip

import (
	"testing"

	"github.com/hashicorp/memberlist"
)

func FuzzMetadata(f *testing.F) {
	f.Add(encode(Peer{IntraAddr: "a:1", Incarnation: 5}))
	f.Add([]byte(`{"a":"x","i":"zz"}`))
	f.Fuzz(func(t *testing.T, meta []byte) {
		p, err := decode(&memberlist.Node{Name: "n", Meta: meta})
		if err != nil {
			return
		}
		again, err := decode(&memberlist.Node{Name: "n", Meta: encode(p)})
		if err != nil || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}
