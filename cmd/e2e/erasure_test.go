//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestErasureCoding keeps a bucket in 2+1 shards on four nodes: it takes half as much again as what is in it, and whichever node
// is killed under load, everything acknowledged is read back, bit for bit.
func TestErasureCoding(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 4})
	client, endpoint := newClient(c), c.Nodes[0].Endpoint
	refuse := func(value string, status int, reason string) {
		t.Helper()
		r := client.must(t, native(http.MethodPost, endpoint, "refused", "create-bck", value), status)
		if !strings.Contains(string(r.body), reason) {
			t.Errorf("%s: %s, want %q", value, r, reason)
		}
	}
	refuse(`{"ec":"17+1"}`, 400, "is not D+P")
	refuse(`{"ec":"2+1","replicas":2}`, 400, "not both")
	refuse(`{"ec":"4+2"}`, 409, "4+2 shards of each object need 6 targets, and the cluster has 4")
	client.must(t, native(http.MethodPost, endpoint, "shards", "create-bck", `{"ec":"2+1"}`), 200)
	if p := props(t, client, c.Nodes[1].Endpoint, "shards"); !p.EC.Enabled || p.EC.DataSlices != 2 || p.EC.ParitySlices != 1 {
		t.Errorf("%+v", p)
	}
	want := make(map[string]string)
	put := func(key string, size int) {
		t.Helper()
		want[key] = strings.Repeat(key+" ", size/(len(key)+1)+1)[:size]
		client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[len(want)%4].Endpoint, bucket: "shards", key: key, body: []byte(want[key])}, 200)
	}
	const large, objects = 4 << 20, 5
	for i := range objects {
		put(fmt.Sprintf("large-%d", i), large)
	}
	if used := blobs(t, c); used < large*objects*3/2 || used > large*objects*3/2*21/20 {
		t.Errorf("%d bytes take %d on disks", large*objects, used)
	} else {
		t.Logf("%d bytes take %d on disks: %.3f", large*objects, used, float64(used)/(large*objects))
	}
	for i, size := range []int{0, 10, 4096, 5000, 65536, 65537, 131072, 200_000, 1 << 20} {
		put(fmt.Sprintf("object-%d", i), size)
	}
	for round, victim := range []int{3, 1} {
		load := newShardLoad(client, fmt.Sprint("load-", round), c.Nodes[(victim+1)%4], c.Nodes[(victim+2)%4])
		c.Nodes[victim].Kill()
		for key, content := range want {
			persist(t, client, request{endpoint: c.Nodes[(victim+1)%4].Endpoint, bucket: "shards", key: key}, content)
		}
		for key, content := range load.end(t) {
			persist(t, client, request{endpoint: c.Nodes[(victim+2)%4].Endpoint, bucket: "shards", key: key}, content)
			want[key] = content
		}
		if round == 0 {
			c.Nodes[victim].Start()
			waitInSync(t, c)
		}
	}
}

// blobs returns how many bytes there are in files of large objects.
func blobs(t *testing.T, c *testcluster.Cluster) (n int64) {
	t.Helper()
	for _, node := range c.Nodes {
		for _, dir := range node.Mountpaths {
			err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(_ string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				info, err := e.Info()
				if err == nil {
					n += info.Size()
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// TestTwoNodesDie keeps a bucket in 2+2 shards on five nodes. Any two of them are killed at the same moment, under load, and then two
// others: all that was acknowledged is read back through each of those that are left, bit for bit.
func TestTwoNodesDie(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 5})
	client := newClient(c)
	waitVoters(t, c)
	client.must(t, native(http.MethodPost, c.Nodes[0].Endpoint, "shards", "create-bck", `{"ec":"2+2"}`), 200)
	want := make(map[string]string)
	for i, size := range []int{0, 10, 5000, 65536, 65537, 200_000, 1 << 20, 3 << 20} {
		key := fmt.Sprint("object-", i)
		want[key] = strings.Repeat(key+" ", size/(len(key)+1)+1)[:size]
		client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[i%5].Endpoint, bucket: "shards", key: key, body: []byte(want[key])}, 200)
	}
	parts := [][]byte{bytes.Repeat([]byte("first"), 1<<20), bytes.Repeat([]byte("last"), 70_000)}
	multipart(t, client, c, "shards", "parts", parts)
	want["parts"] = string(bytes.Join(parts, nil))
	for round, victims := range [][]int{{0, 3}, {1, 2}} {
		var left []*testcluster.Node
		for _, n := range c.Nodes {
			if !slices.Contains(victims, n.Index) {
				left = append(left, n)
			}
		}
		load := newShardLoad(client, fmt.Sprint("load-", round), left...)
		var killed sync.WaitGroup
		for _, v := range victims {
			killed.Go(c.Nodes[v].Kill)
		}
		killed.Wait()
		for key, content := range want {
			for _, n := range left {
				persist(t, client, request{endpoint: n.Endpoint, bucket: "shards", key: key}, content)
			}
		}
		for key, content := range load.end(t) {
			persist(t, client, request{endpoint: left[len(key)%3].Endpoint, bucket: "shards", key: key}, content)
			want[key] = content
		}
		if round == 0 {
			for _, v := range victims {
				c.Nodes[v].Start()
			}
			waitInSync(t, c)
		}
	}
}

// shardLoad writes and reads while nodes die, through the others.
type shardLoad struct {
	stop    atomic.Bool
	work    sync.WaitGroup
	mu      sync.Mutex
	written map[string]string // guarded by mu: acknowledged
	failed  error             // guarded by mu
}

func newShardLoad(client *client, prefix string, nodes ...*testcluster.Node) *shardLoad {
	l := &shardLoad{written: make(map[string]string)}
	started := make(chan struct{}, 2)
	for w := range 2 {
		l.work.Go(func() {
			endpoint := nodes[w].Endpoint
			for i := 0; !l.stop.Load() || i < 20; i++ {
				key, body := fmt.Sprintf("%s-%d-%d", prefix, w, i%15), bytes.Repeat([]byte(fmt.Sprintf("%d ", i)), 10_000*(i%4))
				if err := l.step(client, request{method: http.MethodPut, endpoint: endpoint, bucket: "shards", key: key, body: body}); err != nil {
					l.mu.Lock()
					l.failed = err
					l.mu.Unlock()
					break
				}
				if i == 3 {
					started <- struct{}{}
				}
			}
			select {
			case started <- struct{}{}:
			default:
			}
		})
	}
	<-started
	return l
}

// step writes an object until that is acknowledged, and reads it.
func (l *shardLoad) step(client *client, r request) error {
	err := testcluster.Poll(time.Minute, func(ctx context.Context) error {
		rep, err := client.do(ctx, r)
		if err == nil && rep.status != 200 {
			err = fmt.Errorf("PUT %s: %s", r.key, rep)
		}
		return err
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.written[r.key] = string(r.body)
	l.mu.Unlock()
	rep, err := client.do(context.Background(), request{endpoint: r.endpoint, bucket: r.bucket, key: r.key})
	if err == nil && (rep.status == 200 && !bytes.Equal(rep.body, r.body) || rep.status != 200 && rep.status != 503) {
		return fmt.Errorf("GET %s: %d, %d bytes instead of %d", r.key, rep.status, len(rep.body), len(r.body))
	}
	return err
}

// end ends the load and returns what it wrote.
func (l *shardLoad) end(t *testing.T) map[string]string {
	t.Helper()
	l.stop.Store(true)
	l.work.Wait()
	if l.failed != nil {
		t.Fatal(l.failed)
	}
	return l.written
}
