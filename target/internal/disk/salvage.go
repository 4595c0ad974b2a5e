package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aisle-store/aisle/cluster"
)

// rebuiltName marks a mountpath whose index was made anew from what could be found: see MarkRebuilt.
const rebuiltName = "rebuilt"

// Body is what Salvage found.
type Body struct {
	Place  Place
	Record []byte // that Seal was given; nil when Err is set
	Err    error  // the body is damaged, or was never finished
}

// Salvage yields every body of earlier boots, wherever an index may say that one is, and whole or not. It must come before
// Recover, and nothing may be freed meanwhile.
func (d *Disk) Salvage(ctx context.Context, visit func(Body) error) error {
	const op = "disk.Salvage"
	for _, s := range d.segments.all() {
		if err := d.salvageSegment(ctx, s, visit); err != nil {
			return cluster.E(op, s.path, cluster.KindOther, err)
		}
	}
	err := d.blobs.walk(func(id FileID, path string) error {
		f, err := openRead(d.fs, path)
		if err != nil {
			return err
		}
		defer f.Close()
		h, err := headerAt(f, 0)
		if err != nil || h.kind != Blob || h.file != id {
			return visit(Body{Place: Place{Kind: Blob, File: id}, Err: errNoHeader})
		}
		return d.salvageBody(ctx, h, visit)
	}, func(string) error { return ctx.Err() })
	if err != nil {
		return cluster.E(op, d.dir, cluster.KindOther, err)
	}
	return nil
}

// salvageSegment steps through a segment: where a header of this place is right, a body begins.
func (d *Disk) salvageSegment(ctx context.Context, s *segment, visit func(Body) error) error {
	if s.id.Boot() == d.boot {
		return nil
	}
	f, err := openRead(d.fs, s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := d.fs.Stat(s.path)
	if err != nil {
		return err
	}
	for at := int64(0); at < info.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := headerAt(f, at)
		if err != nil || h.kind != Extent || h.file != s.id || h.offset != at {
			at += Alignment
			continue
		}
		if err := d.salvageBody(ctx, h, visit); err != nil {
			return err
		}
		at += h.place().Span
	}
	return nil
}

func (d *Disk) salvageBody(ctx context.Context, h header, visit func(Body) error) error {
	b := Body{Place: h.place()}
	if b.Err = d.Verify(ctx, b.Place); b.Err == nil {
		b.Record, b.Err = d.Footer(b.Place)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return visit(b)
}

// headerAt reads the header of a body.
func headerAt(f io.ReaderAt, at int64) (header, error) {
	raw := make([]byte, headerSize)
	if _, err := f.ReadAt(raw, at); err != nil {
		return header{}, err
	}
	return parseHeader(raw)
}

// HasBodies reports whether there are files of earlier boots: then an index was here.
func (d *Disk) HasBodies() (bool, error) {
	for _, s := range d.segments.all() {
		if s.id.Boot() != d.boot {
			return true, nil
		}
	}
	found := false
	err := d.blobs.walk(func(id FileID, _ string) error {
		found = found || id.Boot() != d.boot
		return nil
	}, func(string) error { return nil })
	return found, err
}

// SetIndexAside moves the index away, durably, and returns where it is.
func (d *Disk) SetIndexAside() (string, error) {
	const op = "disk.SetIndexAside"
	aside := d.fs.PathJoin(d.dir, indexName+".before-"+fmt.Sprintf("%06x", d.boot))
	err := d.fs.Rename(d.IndexDir(), aside)
	if err == nil {
		err = errors.Join(d.fs.MkdirAll(d.IndexDir(), 0o755), syncDir(d.fs, d.dir))
	}
	if err != nil {
		return "", cluster.E(op, d.dir, cluster.KindOther, err)
	}
	return aside, nil
}

// MarkRebuilt notes, durably, that what the index says is what could be found: others may know better.
func (d *Disk) MarkRebuilt() error {
	f, err := d.fs.Create(d.fs.PathJoin(d.dir, rebuiltName), category)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), syncDir(d.fs, d.dir))
	}
	if err != nil {
		return cluster.E("disk.MarkRebuilt", d.dir, cluster.KindOther, err)
	}
	return nil
}

// IsRebuilt reports whether the mark of MarkRebuilt is there.
func (d *Disk) IsRebuilt() bool {
	_, err := d.fs.Stat(d.fs.PathJoin(d.dir, rebuiltName))
	return err == nil
}

// EndRebuilt removes the mark.
func (d *Disk) EndRebuilt() error {
	err := d.fs.Remove(d.fs.PathJoin(d.dir, rebuiltName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(d.fs, d.dir)
	}
	if err != nil {
		return cluster.E("disk.EndRebuilt", d.dir, cluster.KindOther, err)
	}
	return nil
}
