//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestGateway tries what gateways decide: where a request happens, which bucket it names, and what it may see.
func TestGateway(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	g := &gateways{t: t, cluster: c, client: newClient(c)}
	g.client.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: "gate"}, 200)
	t.Run("redirects", g.redirects)
	t.Run("hosts", g.hosts)
	t.Run("metrics", g.metrics)
	t.Run("connection", g.connection)
	t.Run("delete", g.deleteObjects)
}

type gateways struct {
	t       *testing.T
	cluster *testcluster.Cluster
	client  *client
}

// everywhere sends a request through every node and returns how many answered with each status.
func (g *gateways) everywhere(t *testing.T, r request) map[int]int {
	t.Helper()
	statuses := make(map[int]int)
	for _, n := range g.cluster.Nodes {
		r.endpoint = n.Endpoint
		rep, err := g.client.do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		statuses[rep.status]++
	}
	return statuses
}

// native changes something by a control request.
func (g *gateways) native(t *testing.T, method, path, action, name, value string) {
	t.Helper()
	body := fmt.Sprintf(`{"action":%q,"value":{%q:%q}}`, action, name, value)
	g.client.must(t, request{method: method, endpoint: g.cluster.Nodes[1].Endpoint, bucket: "v1", key: path, body: []byte(body)}, 200)
}

func (g *gateways) setting(t *testing.T, name, value string) {
	t.Helper()
	g.native(t, http.MethodPut, "cluster", "set-config", name, value)
}

func (g *gateways) redirects(t *testing.T) {
	get := request{method: http.MethodGet, bucket: "gate", key: "redirected"}
	put := request{method: http.MethodPut, bucket: "gate", key: "redirected", body: []byte("x")}
	f := func(r request, redirected int, byBucket, byCluster string) {
		t.Helper()
		g.native(t, http.MethodPatch, "buckets/gate", "set-bprops", "redirect", byBucket)
		g.setting(t, "s3.redirect", byCluster)
		if got := g.everywhere(t, r); got[200] != 3-redirected || got[307] != redirected {
			t.Errorf("%s %v, bucket %s, cluster %q: %v, want %d redirects", r.method, r.header, byBucket, byCluster, got, redirected)
		}
	}
	f(put, 0, "cluster", "")
	f(get, 0, "cluster", "")
	f(get, 2, "always", "")
	f(put, 2, "always", "")
	f(get, 0, "always", "never")
	f(get, 2, "cluster", "always")
	f(get, 0, "never", "always")
	get.header = map[string]string{"Aisle-Redirect": "always"}
	f(get, 2, "never", "")
	get.header = map[string]string{"Aisle-Redirect": "never"}
	f(get, 0, "always", "always")
	f(request{method: http.MethodHead, bucket: "gate", key: "redirected"}, 0, "cluster", "")
}

func (g *gateways) hosts(t *testing.T) {
	n := g.cluster.Nodes[2]
	g.setting(t, "s3.domain", "store.test,localhost")
	defer g.setting(t, "s3.domain", "")
	hosted := func(r request) request {
		r.endpoint, r.host = n.Endpoint, "gate.store.test:80"
		r.bucket, r.key = r.key, "" // the path is the key alone
		return r
	}
	for _, key := range []string{"plain", "v1/buckets", "v1/reverse/daemon", "s3/gate/x", "-/metrics", "-/node/list", "-/node/read", "k1", "k2", "k3"} {
		content := "content of " + key
		g.client.must(t, hosted(request{method: http.MethodPut, key: key, body: []byte(content)}), 200)
		if rep := g.client.must(t, request{method: http.MethodGet, endpoint: g.cluster.Nodes[0].Endpoint, bucket: "gate", key: key}, 200); string(rep.body) != content {
			t.Errorf("%s written by host, read by path: %s", key, rep)
		}
		for _, cl := range []*client{g.client, newFollower(g.cluster)} {
			if rep := cl.must(t, hosted(request{method: http.MethodGet, key: key}), 200); string(rep.body) != content {
				t.Errorf("%s read by host: %s", key, rep)
			}
		}
		g.client.must(t, hosted(request{method: http.MethodDelete, key: key}), 204)
		for _, cl := range []*client{g.client, newFollower(g.cluster)} {
			rep := cl.must(t, hosted(request{method: http.MethodGet, key: key}), 404)
			if rep.code() != "NoSuchKey" || !strings.Contains(string(rep.body), "<Key>"+key+"</Key>") {
				t.Errorf("%s: %s", key, rep)
			}
		}
	}
	if rep := g.client.must(t, hosted(request{method: http.MethodGet}), 200); !strings.Contains(string(rep.body), "<Name>gate</Name>") {
		t.Errorf("a list by host: %s", rep)
	}
	if rep := g.client.must(t, request{method: http.MethodGet, endpoint: n.Endpoint, host: "store.test"}, 200); !strings.Contains(string(rep.body), "ListAllMyBucketsResult") {
		t.Errorf("the domain itself: %s", rep)
	}
	for name, python := range pythons(t) {
		env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+testcluster.AccessKey, "AWS_SECRET_ACCESS_KEY="+testcluster.SecretKey, "AWS_DEFAULT_REGION=us-east-1")
		if out, err := command(t, env, python, "-c", virtualSession, strings.Replace(n.Endpoint, "127.0.0.1", "localhost", 1)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// virtualSession uses buckets as hosts below localhost, which not every resolver knows.
const virtualSession = `
import socket, sys, urllib.request
import boto3, botocore.config
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: resolve("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **more)
s3 = boto3.client("s3", endpoint_url=sys.argv[1], config=botocore.config.Config(s3={"addressing_style": "virtual"}))
hosts = set()
s3.meta.events.register("before-send.s3", lambda request, **_: hosts.add(request.url.split("/")[2].split(":")[0]))
s3.create_bucket(Bucket="by-host")
s3.put_object(Bucket="by-host", Key="a/b c", Body=b"hello")
assert s3.get_object(Bucket="by-host", Key="a/b c")["Body"].read() == b"hello"
assert [o["Key"] for o in s3.list_objects_v2(Bucket="by-host")["Contents"]] == ["a/b c"]
link = s3.generate_presigned_url("get_object", Params={"Bucket": "by-host", "Key": "a/b c"})
assert link.split("/")[2].startswith("by-host.localhost"), link
assert urllib.request.urlopen(link).read() == b"hello"
s3.delete_object(Bucket="by-host", Key="a/b c")
s3.delete_bucket(Bucket="by-host")
assert "by-host.localhost" in hosts, hosts
`

func (g *gateways) metrics(t *testing.T) {
	f := func(path string, status int) {
		t.Helper()
		for _, n := range g.cluster.Nodes {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.Endpoint+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rep, err := g.client.send(req); err != nil || rep.status != status {
				t.Errorf("%s without a key: %s %v, want %d", path, rep, err, status)
			}
		}
	}
	f("/-/metrics", 200)
	g.setting(t, "metrics.public", "false")
	f("/-/metrics", 403)
	f("/-/live", 200)
	f("/-/ready", 200)
	signed := request{method: http.MethodGet, endpoint: g.cluster.Nodes[0].Endpoint, bucket: "-", key: "metrics"}
	if rep := g.client.must(t, signed, 200); !strings.Contains(string(rep.body), "aisle_map_version") {
		t.Errorf("metrics with a key: %s", rep)
	}
	g.setting(t, "metrics.public", "")
	f("/-/metrics", 200)
}

// connection names a signed field in the header Connection: the answer must not depend on where the object lies.
func (g *gateways) connection(t *testing.T) {
	put := request{method: http.MethodPut, bucket: "gate", key: "colour", body: []byte("x"),
		header: map[string]string{"Connection": "X-Amz-Meta-Colour", "X-Amz-Meta-Colour": "red"}}
	for _, n := range g.cluster.Nodes {
		put.endpoint = n.Endpoint
		g.client.must(t, put, 200)
		rep := g.client.must(t, request{method: http.MethodHead, endpoint: n.Endpoint, bucket: "gate", key: "colour"}, 200)
		if rep.header.Get("X-Amz-Meta-Colour") != "red" {
			t.Errorf("through node %d the field is lost: %v", n.Index, rep.header)
		}
	}
}

func (g *gateways) deleteObjects(t *testing.T) {
	endpoint := g.cluster.Nodes[1].Endpoint
	f := func(body string, status int) string {
		t.Helper()
		for _, key := range []string{"d1", "d2"} {
			g.client.must(t, request{method: http.MethodPut, endpoint: endpoint, bucket: "gate", key: key, body: []byte("x")}, 200)
		}
		rep := g.client.must(t, request{method: http.MethodPost, endpoint: endpoint, bucket: "gate", query: "delete", body: []byte(body), header: md5Header(body)}, status)
		return string(rep.body)
	}
	want := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%q is missing in %s", part, text)
			}
		}
	}
	item := func(key string) string { return "<Object><Key>" + key + "</Key></Object>" }
	long := strings.Repeat("k", 1025)
	text := f("<Delete>"+item("d1")+item(long)+item("d1")+item("d2")+item("never")+"<Object><Key>d2</Key><VersionId>v</VersionId></Object></Delete>", 200)
	want(text, "<Key>"+long+"</Key><Code>KeyTooLongError</Code>", "<Deleted><Key>d2</Key></Deleted>", "<Deleted><Key>never</Key></Deleted>", "<Code>NoSuchVersion</Code>")
	if n := strings.Count(text, "<Deleted><Key>d1</Key></Deleted>"); n != 2 {
		t.Errorf("a key that is named twice is answered %d times: %s", n, text)
	}
	g.client.must(t, request{method: http.MethodHead, endpoint: endpoint, bucket: "gate", key: "d2"}, 404)
	text = f("<Delete><Quiet>true</Quiet>"+item("d1")+item(long)+"</Delete>", 200)
	want(text, "<Code>KeyTooLongError</Code>")
	if strings.Contains(text, "<Deleted>") {
		t.Errorf("a quiet reply names what was deleted: %s", text)
	}
	for _, bad := range []string{item(""), strings.Repeat(item("d1"), 1001), ""} {
		want(f("<Delete>"+bad+"</Delete>", 400), "<Code>MalformedXML</Code>")
	}
	g.client.must(t, request{method: http.MethodHead, endpoint: endpoint, bucket: "gate", key: "d1"}, 200)
}
