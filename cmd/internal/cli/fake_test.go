package cli

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/xact"
)

// fake is a cluster of one node that keeps everything in memory.
type fake struct {
	mu       sync.Mutex
	buckets  map[cluster.BucketName]cluster.BucketEntry
	objects  map[string][]byte // by "bucket/key"
	settings map[string]string
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newFake(t *testing.T) string {
	t.Helper()
	f := &fake{buckets: make(map[cluster.BucketName]cluster.BucketEntry), objects: make(map[string][]byte), settings: make(map[string]string)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.serve(w, r); err != nil {
		e := api.NewError(err)
		text, _ := json.Marshal(e)
		if r.Method == http.MethodHead {
			w.Header().Set(api.HeaderError, string(text))
		}
		w.WriteHeader(e.Status)
		w.Write(text)
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) error {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential=AKID/") {
		return cluster.Fail("fake", "", cluster.KindUnauthenticated, "there is no such access key")
	}
	path := r.URL.EscapedPath()
	switch {
	case path == api.Buckets:
		return f.list(w)
	case strings.HasPrefix(path, api.Buckets+"/"):
		b, err := api.ParseBucket(strings.TrimPrefix(path, api.Buckets+"/"), r.URL.Query())
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(r.Body)
		msg, err := api.ParseAction(body)
		if err != nil {
			return err
		}
		return f.bucket(w, r, b, msg)
	case strings.HasPrefix(path, api.Objects+"/"):
		return f.object(w, r, strings.TrimPrefix(path, api.Objects+"/"))
	}
	return f.cluster(w, r)
}

func (f *fake) list(w http.ResponseWriter) error {
	names := []api.BucketName{}
	for _, e := range f.buckets {
		names = append(names, api.NewBucketName(e.Bucket))
	}
	slices.SortFunc(names, func(a, b api.BucketName) int { return cmp.Compare(a.Name, b.Name) })
	return json.NewEncoder(w).Encode(names)
}

func (f *fake) bucket(w http.ResponseWriter, r *http.Request, b cluster.Bucket, msg api.ActionMsg) error {
	e, ok := f.buckets[b.Name]
	if r.Method == http.MethodPost {
		if ok {
			return cluster.Fail("fake", b.String(), cluster.KindBucketExists, "")
		}
		changes, _ := msg.Props()
		props, err := config.SetProps(config.DefaultProps(), changes)
		props.Replicas = max(props.Replicas, 1)
		f.buckets[b.Name] = cluster.BucketEntry{ID: cluster.BucketID(len(f.buckets) + 1), Bucket: b, Props: props, Created: created, Creator: "AKID"}
		if err != nil {
			delete(f.buckets, b.Name)
		}
		return err
	}
	if !ok {
		return cluster.Fail("fake", b.String(), cluster.KindBucketNotFound, "")
	}
	switch r.Method {
	case http.MethodHead:
		text, _ := json.Marshal(api.NewBucketProps(e))
		w.Header().Set(api.HeaderBucketProps, string(text))
	case http.MethodPatch:
		changes, _ := msg.Props()
		props, err := config.SetProps(e.Props, changes)
		if err != nil {
			return err
		}
		e.Props = props
		f.buckets[b.Name] = e
	case http.MethodDelete:
		for name := range f.objects {
			if strings.HasPrefix(name, string(b.Name)+"/") {
				return cluster.Fail("fake", b.String(), cluster.KindBucketNotEmpty, "")
			}
		}
		delete(f.buckets, b.Name)
	case http.MethodGet:
		return f.page(w, b, msg)
	}
	return nil
}

func (f *fake) page(w http.ResponseWriter, b cluster.Bucket, msg api.ActionMsg) error {
	var list api.ListMsg
	if err := msg.Decode(&list); err != nil {
		return err
	}
	var page api.ListResult
	for name, data := range f.objects {
		key, ok := strings.CutPrefix(name, string(b.Name)+"/")
		if !ok || !strings.HasPrefix(key, list.Prefix) || key <= list.Token || key <= list.StartAfter {
			continue
		}
		sum := md5.Sum(data)
		entry := cluster.Entry{Key: cluster.ObjectKey(key), Size: int64(len(data)), Checksum: hex.EncodeToString(sum[:]), Version: 1}
		if dir, _, deeper := strings.Cut(key[len(list.Prefix):], "/"); deeper && list.Flags&api.ListNoRecursion != 0 {
			entry = cluster.Entry{Key: cluster.ObjectKey(list.Prefix + dir + "/"), Prefix: true}
		}
		page.Entries = append(page.Entries, api.NewListEntry(entry, &list))
	}
	slices.SortFunc(page.Entries, func(a, b api.ListEntry) int { return cmp.Compare(a.Name, b.Name) })
	page.Entries = slices.Compact(page.Entries)
	limit, _ := list.Limit()
	if limit = min(limit, 3); len(page.Entries) > limit {
		page.Entries = page.Entries[:limit]
		page.Token = page.Entries[limit-1].Name
	}
	w.Header().Set("Content-Type", api.MsgPack)
	_, err := w.Write(page.AppendMsgPack(nil))
	return err
}

func (f *fake) object(w http.ResponseWriter, r *http.Request, path string) error {
	escaped, rest, _ := strings.Cut(path, "/")
	key, _ := url.PathUnescape(rest)
	b, name := cluster.Native(cluster.BucketName(escaped)), escaped+"/"+key
	if _, ok := f.buckets[b.Name]; !ok {
		return cluster.Fail("fake", b.String(), cluster.KindBucketNotFound, "")
	}
	data, ok := f.objects[name]
	if to := r.URL.Query().Get(api.QueryObjectTo); r.Method == http.MethodPut && to == "" {
		data, _ = io.ReadAll(r.Body)
		f.objects[name] = data
		return nil
	} else if ok && r.Method == http.MethodPut {
		toBucket, toKey, err := api.ParseObjectTo(to)
		if err == nil && f.buckets[toBucket.Name].ID == 0 {
			return cluster.Fail("fake", toBucket.String(), cluster.KindBucketNotFound, "")
		}
		f.objects[string(toBucket.Name)+"/"+string(toKey)] = data
		return err
	}
	if !ok {
		return cluster.Fail("fake", b.Object(cluster.ObjectKey(key)), cluster.KindObjectNotFound, "")
	}
	if r.Method == http.MethodDelete {
		delete(f.objects, name)
		return nil
	}
	sum := md5.Sum(data)
	w.Header().Set(api.HeaderChecksumType, "md5")
	w.Header().Set(api.HeaderChecksumValue, hex.EncodeToString(sum[:]))
	w.Header().Set(api.HeaderVersion, "1")
	w.Header().Set(api.HeaderCustom, "colour=red")
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.ServeContent(w, r, "", created, strings.NewReader(string(data)))
	return nil
}

// modes refuses to park n1, unless it is forced to.
func (f *fake) modes(w http.ResponseWriter, msg api.ActionMsg) error {
	var nodes api.NodesMsg
	if err := msg.Decode(&nodes); err != nil {
		return err
	}
	ids, mode := nodes.Change(msg.Action)
	if mode == cluster.NodeActive || ids[0] != "n1" {
		return nil
	}
	const cost = "9 of 16384 slots are kept by nobody else"
	if !nodes.Force {
		return cluster.Fail("", "n1", cluster.KindConflict, cost)
	}
	_, err := io.WriteString(w, cost)
	return err
}

func (f *fake) cluster(w http.ResponseWriter, r *http.Request) error {
	m := &cluster.Map{Version: 7, ClusterID: "c1", Created: created}
	m.AddLayout(cluster.OneCopy())
	m.SetNode(cluster.Node{ID: "n1", Roles: cluster.Proxy | cluster.Target, PublicURL: "http://h:8080", IntraAddr: "h:8081", Mountpaths: make([]cluster.Mountpath, 2)})
	m.SetNode(cluster.Node{ID: "n2", Roles: cluster.Target, PublicURL: "http://i:8080", IntraAddr: "i:8081", Mountpaths: make([]cluster.Mountpath, 2)})
	var body any
	switch what := r.URL.Query().Get(api.QueryWhat); {
	case what == api.WhatSmap:
		body = api.NewSmap(m, nil, "n1")
	case what == api.WhatBMD:
		var entries []cluster.BucketEntry
		for _, e := range f.buckets {
			entries = append(entries, e)
		}
		body = api.NewBMD("c1", 4, entries)
	case what == api.WhatNodeStatus && r.Header.Get(api.HeaderNodeID) == "n1":
		body = api.NodeStatus{Status: "online", Version: "v1.2.3", Uptime: 90 * time.Second, Lease: true,
			System:   api.SysInfo{MemUsed: 1 << 30, MemAvail: 15 << 30, MemPercent: 6.25, CPUPercent: 12.5},
			Capacity: api.Capacity{Used: 1 << 30, Avail: 9 << 30, Percent: 10}}
	case what == api.WhatJobs && r.Header.Get(api.HeaderNodeID) == "n1":
		body = api.NewSnaps([]xact.Job{
			{ID: "rebalance-1-2", Kind: xact.Rebalance, Node: "n1", State: xact.Running, Slots: xact.Progress{Done: 1024, Total: 5461}, Started: created,
				Objects: xact.Progress{Done: 1000, Total: 4000}, Bytes: xact.Progress{Done: 1 << 30, Total: 4 << 30}, Rate: 64 << 20, Left: 48 * time.Second},
			{ID: "rebalance-1-1", Kind: xact.Rebalance, Node: "n1", State: xact.Failed, Started: created, Ended: created.Add(time.Minute), Err: "disk"},
		})
	case what == api.WhatDenials && r.Header.Get(api.HeaderNodeID) == "n1":
		body = []api.Denial{
			{Time: created, Node: "n1", Request: "R2", Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k\x1b[2J", Why: "no statement of any policy allows it"},
			{Time: created.Add(-time.Minute), Node: "n1", Request: "R1", Identity: "ANNKEY", Principal: "arn:aws:iam::000000000000:user/ann", Action: "s3:PutObject",
				Resource: "arn:aws:s3:::b/k", Why: "statement Locked of the policy limited of user ann denies it"},
		}
	case what == api.WhatScrub && r.Method == http.MethodPut:
		return nil
	case what == api.WhatScrub && r.Header.Get(api.HeaderNodeID) == "n1":
		body = api.Scrub{
			Mountpaths: []api.ScrubState{
				{Path: "/mnt/1", Pass: 3, Began: created, Ended: created.Add(time.Hour), Entries: 1000, Bytes: 1 << 30, Found: 2, Damaged: 1, Repaired: 1},
				{Path: "/mnt/2", Pass: 3, Began: created, Running: true, Entries: 500, Bytes: 1 << 29, Previous: 1 << 30},
			},
			Damages: []api.Damage{{Mountpath: "mp-1", Object: "ais://b/k", Since: created, Copies: 0, Attempts: 3, Error: "bad", Failed: "no other holder has it"}},
		}
	case what == api.WhatNodeStatus, what == api.WhatJobs, what == api.WhatScrub, what == api.WhatDenials:
		return cluster.Fail("fake", "n2", cluster.KindNotFound, "there is no answer")
	case what == api.WhatClusterConfig:
		body = api.ClusterConfig("c1", 1, config.Effective(f.settings))
	case r.Method == http.MethodPut:
		text, _ := io.ReadAll(r.Body)
		msg, _ := api.ParseAction(text)
		if strings.HasSuffix(msg.Action, "maintenance") || strings.HasSuffix(msg.Action, "-node") {
			return f.modes(w, msg)
		}
		changes, _ := msg.Props()
		if msg.Action == api.ActionResetConfig {
			clear(f.settings)
		}
		for name, value := range changes {
			if err := config.CheckCluster(map[string]string{name: value}); err != nil {
				return err
			}
			f.settings[name] = value
		}
		return nil
	default:
		return cluster.Fail("fake", "", cluster.KindNotImplemented, fmt.Sprintf("%s %s", r.Method, r.URL))
	}
	return json.NewEncoder(w).Encode(body)
}
