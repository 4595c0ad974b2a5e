//go:build e2e

package e2e

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	versionsBucket = "versions" // has versions and object lock, in two copies or in shards
	shardsBucket   = "shards"   // has no versions
	versionKeys    = 8          // of each client
	manyVersions   = 10         // of a key: then some are removed before more are written
)

// sure is what a client knows of something that it asked for.
type sure int

const (
	no    sure = iota
	yes        // it was acknowledged
	maybe      // the outcome is unknown, and may change once more: nothing of it is changed again
)

// version is a version of a key that only one client writes.
type version struct {
	id      string
	marker  bool
	content content
	state   state
	there   sure
	held    sure // by a legal hold
	doomed  bool // a deletion that the hold was to refuse was not answered: it may come later, so the hold stays
	tag     string
	tagged  []string // what its tag may be instead, or become: a change of unknown outcome
}

// chain are the versions of one key.
type chain struct {
	known []*version // oldest first
	lost  []state    // versions that may have come to be, or still come, under ids that nobody was told; the zero state: a delete marker
}

// live are the versions that are there, and of which nothing is in doubt.
func (c *chain) live() []*version {
	return slices.DeleteFunc(slices.Clone(c.known), func(v *version) bool { return v.there != yes || v.held == maybe || len(v.tagged) > 0 })
}

// newest returns the current version; false when that is in doubt. Nil is none.
func (c *chain) newest() (*version, bool) {
	if len(c.lost) > 0 {
		return nil, false
	}
	for _, v := range slices.Backward(c.known) {
		if v.there != no {
			return v, v.there == yes
		}
	}
	return nil, true
}

// makeLayouts makes the bucket of shards and that with versions. How many shards, and whether the versions are in shards, is
// up to the seed.
func (x *torture) makeLayouts() {
	x.t.Helper()
	shape, versions := "2+1", `"replicas":"2"`
	if x.seed%2 == 1 {
		shape = "2+2"
	}
	if x.seed/2%2 == 1 {
		versions = `"ec":"2+1"`
	}
	x.say("shards %s, versions %s", shape, versions)
	endpoint := x.cluster.Nodes[0].Endpoint
	x.client.must(x.t, native(http.MethodPost, endpoint, shardsBucket, "create-bck", `{"ec":"`+shape+`","checksum.type":"md5"}`), 200)
	x.buckets = append(x.buckets, shardsBucket)
	x.client.must(x.t, native(http.MethodPost, endpoint, versionsBucket, "create-bck", `{`+versions+`,"checksum.type":"md5","versioning":"enabled","object_lock":"enabled"}`), 200)
}

// chainName returns a name that was not used before.
func (w *worker) chainName(i int) string {
	w.count++
	return fmt.Sprintf("%s%03d.%d", w.ownPrefix(), i, w.count)
}

// versioned does a random operation on a key with versions that only this worker writes.
func (w *worker) versioned() {
	i := w.random.IntN(versionKeys)
	for len(w.chainNames) <= i {
		w.chainNames = append(w.chainNames, w.chainName(len(w.chainNames)))
	}
	key := w.chainNames[i]
	c := w.chains[key]
	if c == nil {
		c = &chain{}
		w.chains[key] = c
	}
	live, p := c.live(), w.random.IntN(100)
	if len(c.lost) > 0 && w.random.IntN(4) == 0 {
		w.chainNames[i] = w.chainName(i)
	}
	switch {
	case p < 25 && len(c.known) > 0:
		w.readVersion(key, pick(w.random, c.known))
	case p < 28 && len(c.known) > 0:
		w.readTags(key, pick(w.random, c.known))
	case p < 32:
		w.readNewest(key, c)
	case p < 38:
		w.listVersions(w.ownPrefix(), w.chains, 1+w.random.IntN(40))
	case p < 45 && len(live) > 0:
		w.hold(key, pick(w.random, live))
	case p < 52 && len(live) > 0:
		w.tagVersion(key, pick(w.random, live))
	case (p < 64 || len(live) > manyVersions) && len(live) > 0:
		w.removeVersion(key, pick(w.random, live))
	case len(c.lost) > 0:
	case p < 74:
		a := w.ask("DELETE", request{method: http.MethodDelete, bucket: versionsBucket, key: key})
		w.came(key, c, a, w.outcome(a, deedInput{deed: erase, key: key}), &version{marker: true})
	default:
		w.writeVersion(key, c)
	}
}

// writeVersion makes a new version, of new bytes or of those of the current one.
func (w *worker) writeVersion(key string, c *chain) {
	now, certain := c.newest()
	if certain && now != nil && !now.marker && now.content.parts == 0 && len(now.tagged) == 0 && w.random.IntN(6) == 0 { // a copy of parts is one piece, of another ETag
		a, in, out := w.copyTo(versionsBucket, key, key, now.content, false)
		if out.result == absent || out.result == refused {
			w.problem("%s/%s: metadata through node %d: %s, and its version %s was there", versionsBucket, key, a.node, a, now.id)
		}
		w.came(key, c, a, out, &version{content: now.content, state: in.next, tag: now.tag})
		return
	}
	parts := 0
	if w.random.IntN(8) == 0 {
		parts = 1 + w.random.IntN(8)/7
	}
	in := deedInput{deed: write, key: key}
	a, text, began := w.put(versionsBucket, &in, parts)
	if began {
		w.came(key, c, a, w.outcome(a, in), &version{content: text, state: in.next})
	}
}

// came notes what became of a write: v lacks only its id.
func (w *worker) came(key string, c *chain, a answer, out deedOutput, v *version) {
	if out.result == unknown {
		c.lost = append(c.lost, v.state)
	}
	if out.result != done {
		return
	}
	v.id, v.there = a.header.Get("x-amz-version-id"), yes
	known := slices.ContainsFunc(c.known, func(old *version) bool { return old.id == v.id })
	if v.id == "" || known || v.marker != (a.header.Get("x-amz-delete-marker") == "true") {
		w.problem("%s of %s/%s through node %d made version %q, marker %q", a.kind, versionsBucket, key, a.node, v.id, a.header.Get("x-amz-delete-marker"))
		return
	}
	c.known = append(c.known, v)
}

func ofVersion(method, key string, v *version) request {
	return request{method: method, bucket: versionsBucket, key: key, query: query("versionId", v.id)}
}

// removeVersion removes a version for ever, unless it is held: then it asks for that, too, and must be refused.
func (w *worker) removeVersion(key string, v *version) {
	switch a := w.ask("DELETE version", ofVersion(http.MethodDelete, key, v)); {
	case a.never():
	case a.unknown() && v.held == yes:
		v.doomed = true
	case a.unknown():
		v.there = maybe
	case a.status == http.StatusNoContent && v.held == no:
		v.there = no
	case a.status == http.StatusForbidden && a.code() == "AccessDenied" && v.held == yes:
	default:
		w.problem("DELETE of version %s of %s/%s through node %d: %s; held: %v", v.id, versionsBucket, key, a.node, a, v.held == yes)
	}
}

// hold places or removes a legal hold.
func (w *worker) hold(key string, v *version) {
	if v.marker {
		return
	}
	want, status := yes, "ON"
	if v.held == yes && !v.doomed && w.random.IntN(3) > 0 {
		want, status = no, "OFF"
	}
	r := ofVersion(http.MethodPut, key, v)
	r.query = "legal-hold=&" + r.query
	r.body = []byte("<LegalHold><Status>" + status + "</Status></LegalHold>")
	r.header = map[string]string{"Content-Md5": contentMD5(r.body)}
	switch a := w.ask("PUT legal hold", r); {
	case a.never():
	case a.unknown():
		v.held = maybe
	case a.status == http.StatusOK:
		v.held = want
	default:
		w.problem("legal hold %s of version %s of %s/%s through node %d: %s", status, v.id, versionsBucket, key, a.node, a)
	}
}

// readVersion reads a version and checks every byte of it; false when there was no answer.
func (w *worker) readVersion(key string, v *version) bool {
	a := w.ask("GET version", ofVersion(http.MethodGet, key, v))
	if a.err != nil || a.status >= 500 {
		return false
	}
	gone := a.status == http.StatusNotFound
	marker := a.status == http.StatusMethodNotAllowed && a.header.Get("x-amz-delete-marker") == "true"
	switch {
	case gone && v.there != yes:
	case v.there == no:
		w.problem("version %s of %s/%s was removed; through node %d: %s", v.id, versionsBucket, key, a.node, a)
	case v.marker && !marker:
		w.problem("version %s of %s/%s is a delete marker; through node %d: %s", v.id, versionsBucket, key, a.node, a)
	case !v.marker:
		w.compare(key, v, a)
	}
	return true
}

// compare checks that an answer has a version, bit for bit.
func (w *worker) compare(key string, v *version, a answer) {
	switch id := a.header.Get("x-amz-version-id"); {
	case a.status != http.StatusOK:
		w.problem("version %s of %s/%s through node %d: %s", v.id, versionsBucket, key, a.node, a)
	case id != v.id || a.header.Get(metaMark) != v.state.mark || answeredETag(a.reply) != v.state.etag:
		w.problem("version %s of %s/%s through node %d: %s, %s, %s, want %v", v.id, versionsBucket, key, a.node, id, a.header.Get(metaMark), answeredETag(a.reply), v.state)
	case !bytes.Equal(a.body, v.content.bytes()):
		w.problem("version %s of %s/%s through node %d: its %d bytes are not those of %s", v.id, versionsBucket, key, a.node, len(a.body), v.content)
	}
}

// readNewest reads a key without saying which version; false when there was no answer.
func (w *worker) readNewest(key string, c *chain) bool {
	v, certain := c.newest()
	if !certain {
		return true
	}
	a := w.ask("GET newest", request{method: http.MethodGet, bucket: versionsBucket, key: key})
	switch {
	case a.err != nil || a.status >= 500:
		return false
	case v != nil && !v.marker:
		w.compare(key, v, a)
	case a.status != http.StatusNotFound || a.code() != "NoSuchKey":
		w.problem("%s/%s, which is deleted, through node %d: %s", versionsBucket, key, a.node, a)
	}
	return true
}

// listedVersion is a Version or a DeleteMarker of a list.
type listedVersion struct {
	XMLName   xml.Name
	Key, ETag string
	VersionID string `xml:"VersionId"`
	IsLatest  bool
}

func (v *listedVersion) isVersion() bool {
	return v.XMLName.Local == "Version" || v.XMLName.Local == "DeleteMarker"
}

// listVersions lists a prefix through pages, and compares with what must be there; false when a page had no answer.
func (w *worker) listVersions(prefix string, want map[string]*chain, most int) bool {
	found := make(map[string][]listedVersion)
	var where []int
	for key, id := "", ""; ; {
		q := []string{"versions", "", "prefix", prefix, "max-keys", fmt.Sprint(most)}
		if key != "" {
			q = append(q, "key-marker", key, "version-id-marker", id)
		}
		a := w.ask("LIST versions", request{method: http.MethodGet, bucket: versionsBucket, query: query(q...)})
		if a.err != nil || a.status >= 500 {
			return false
		}
		var page struct {
			IsTruncated   bool
			NextKeyMarker string
			NextVersionID string          `xml:"NextVersionIdMarker"`
			All           []listedVersion `xml:",any"`
		}
		if a.status != http.StatusOK || xml.Unmarshal(a.body, &page) != nil {
			w.problem("LIST versions of %s through node %d: %s", prefix, a.node, a)
			return true
		}
		where = append(where, a.node)
		for _, v := range page.All {
			if v.isVersion() {
				found[v.Key] = append(found[v.Key], v)
			}
		}
		if key, id = page.NextKeyMarker, page.NextVersionID; !page.IsTruncated {
			break
		}
	}
	for key, c := range want {
		if wrong := c.differs(found[key]); wrong != "" {
			w.problem("LIST versions through nodes %v, %s: %s", where, key, wrong)
		}
		delete(found, key)
	}
	if len(found) > 0 {
		w.problem("LIST versions through nodes %v has keys that nobody wrote: %v", where, found)
	}
	return true
}

// differs says what is wrong with a list of the versions of a key, newest first.
func (c *chain) differs(listed []listedVersion) string {
	lost := slices.Clone(c.lost)
	next := len(c.known) // known versions behind it were passed
	for i, v := range listed {
		at := slices.IndexFunc(c.known, func(k *version) bool { return k.id == v.VersionID })
		marker := v.XMLName.Local == "DeleteMarker"
		switch {
		case v.IsLatest != (i == 0):
			return fmt.Sprintf("version %s says of being the latest: %v", v.VersionID, v.IsLatest)
		case at < 0:
			j := slices.IndexFunc(lost, func(s state) bool { return s.etag == strings.Trim(v.ETag, `"`) && (s == state{}) == marker })
			if j < 0 {
				return fmt.Sprintf("nobody wrote version %s", v.VersionID)
			}
			lost = slices.Delete(lost, j, j+1)
		case at >= next:
			return fmt.Sprintf("version %s is not in its order", v.VersionID)
		case c.known[at].there == no:
			return fmt.Sprintf("version %s was removed", v.VersionID)
		case c.known[at].marker != marker || strings.Trim(v.ETag, `"`) != c.known[at].state.etag:
			return fmt.Sprintf("version %s has ETag %s, want %s", v.VersionID, v.ETag, c.known[at].state.etag)
		default:
			if missing := passed(c.known[at+1 : next]); missing != "" {
				return missing
			}
			next = at
		}
	}
	return passed(c.known[:next])
}

// passed says which of some versions should have been listed.
func passed(over []*version) string {
	for _, v := range over {
		if v.there == yes {
			return fmt.Sprintf("version %s is missing", v.id)
		}
	}
	return ""
}

// readVersions has every version that any client knows of read through one node, and listed there.
func (x *torture) readVersions(through func(func(w *worker) bool)) (reads, lists int) {
	for _, w := range x.workers {
		for key, c := range w.chains {
			for _, v := range c.known {
				reads++
				through(func(r *worker) bool { return r.readVersion(key, v) })
				through(func(r *worker) bool { return r.readTags(key, v) })
			}
			reads++
			through(func(r *worker) bool { return r.readNewest(key, c) })
		}
		lists++
		through(func(r *worker) bool { return r.listVersions(w.ownPrefix(), w.chains, 37) })
	}
	return reads, lists
}
