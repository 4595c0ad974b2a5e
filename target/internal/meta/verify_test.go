package meta

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/disk"
)

// Verify comes by every entry once, page by page, and names the places of records and manifests with their pieces.
func TestVerify(t *testing.T) {
	x, err := Open(vfs.NewMem(), "index", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	place := func(i int) disk.Place { return disk.Place{Kind: disk.Blob, File: disk.FileID(i), Length: 1} }
	batch := x.NewBatch()
	for i := range 10 {
		r := &Record{Ref: Ref{Kind: Current, Bucket: 1, Key: cluster.ObjectKey(fmt.Sprint(i))}, Fields: Fields{Place: place(i + 1)}}
		if i == 9 {
			r.Place = disk.Place{}
			for p := range 12 {
				r.Parts = append(r.Parts, Part{Number: p + 1, Place: place(100 + p)})
			}
		}
		if err := batch.Put(r); err != nil {
			t.Fatal(err)
		}
		batch.Doubt(r.Ref)
	}
	batch.MarkSlot(7, 3)
	batch.SetNote("name", []byte("text"))
	if err := batch.Commit(true); err != nil {
		t.Fatal(err)
	}
	if text, err := x.Note("name"); err != nil || string(text) != "text" {
		t.Fatalf("%q, %v", text, err)
	}
	if text, err := x.Note("other"); err != nil || text != nil {
		t.Fatalf("%q, %v", text, err)
	}
	count, named := 0, 0
	for from, done := []byte(nil), false; !done; {
		page, err := x.Verify(context.Background(), from, 3)
		if err != nil {
			t.Fatal(err)
		}
		count += page.Count
		for _, e := range page.Entries {
			if e.Err != nil || e.Ref.Kind != Current {
				t.Fatalf("%+v", e)
			}
			record, err := x.Exact(e.Ref)
			if err != nil || record == nil {
				t.Fatal(e.Ref, err)
			}
			parts, err := x.Parts(record)
			if err != nil {
				t.Fatal(err)
			}
			for i, piece := range e.Pieces {
				want := record.Place
				if piece > 0 {
					want = parts[piece-1].Place
				}
				if e.Places[i] != want {
					t.Fatalf("piece %d of %s: %s", piece, e.Ref, e.Places[i])
				}
				named++
			}
		}
		from, done = page.Next, page.Next == nil
	}
	if count != 10+10+1+1+1 || named != 9+12 {
		t.Fatalf("%d entries, %d places", count, named)
	}
	key := noteKey("name")
	if err := x.db.Set(key, []byte("no value"), nil); err != nil {
		t.Fatal(err)
	}
	page, err := x.Verify(context.Background(), key, 1)
	if err != nil || len(page.Entries) != 1 || !cluster.Is(page.Entries[0].Err, cluster.KindCorrupt) {
		t.Fatalf("%+v, %v", page, err)
	}
}
