package cli

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// largeFile is from which size on a terminal shows progress without being asked.
const largeFile = 16 << 20

// bars draws progress on standard error; a nil *bars draws nothing.
type bars struct {
	p    *mpb.Progress
	all  []*mpb.Bar
	from int64 // size from which a single file has a bar
}

// bars returns what draws the progress of one command.
func (a *app) bars() *bars {
	if !a.progress && !a.Terminal {
		return nil
	}
	b := &bars{p: mpb.New(mpb.WithOutput(a.Err), mpb.WithWidth(40))}
	if !a.progress {
		b.from = largeFile
	}
	return b
}

// close ends the drawing; bars that are not full are left as they are.
func (b *bars) close() {
	if b == nil {
		return
	}
	for _, bar := range b.all {
		bar.Abort(false)
	}
	b.p.Wait()
}

func (b *bars) add(title string, total int64, counters decor.Decorator) *mpb.Bar {
	bar := b.p.AddBar(total, mpb.PrependDecorators(decor.Name(title, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(counters, decor.Percentage(decor.WCSyncSpace)))
	b.all = append(b.all, bar)
	return bar
}

// reader draws how much of size bytes was read from r.
func (b *bars) reader(title string, size int64, r io.Reader) io.Reader {
	if b == nil || size < b.from {
		return r
	}
	return b.add(title, size, decor.CountersKibiByte("% .2f / % .2f")).ProxyReader(r)
}

// file draws how much of a file was read; the file can be read again from its start.
func (b *bars) file(title string, size int64, f *os.File) io.Reader {
	if b == nil || size < b.from {
		return f
	}
	return &drawnFile{File: f, bar: b.add(title, size, decor.CountersKibiByte("% .2f / % .2f"))}
}

// drawnFile is a file whose position is drawn.
type drawnFile struct {
	*os.File
	bar *mpb.Bar
}

// Read reads from the file.
func (d *drawnFile) Read(p []byte) (int, error) {
	n, err := d.File.Read(p)
	d.bar.IncrBy(n)
	return n, err
}

// Seek moves in the file, and the bar with it.
func (d *drawnFile) Seek(offset int64, whence int) (int64, error) {
	at, err := d.File.Seek(offset, whence)
	d.bar.SetCurrent(at)
	return at, err
}

// total draws a sum of bytes and returns the function that adds to it.
func (b *bars) total(title string, size int64) func(int64) {
	if b == nil {
		return func(int64) {}
	}
	return b.add(title, size, decor.CountersKibiByte("% .2f / % .2f")).IncrInt64
}

// count draws a number of things and returns the function that adds to it.
func (b *bars) count(title string, n int) func(int64) {
	if b == nil {
		return func(int64) {}
	}
	return b.add(title, int64(n), decor.CountersNoUnit("%d / %d")).IncrInt64
}
