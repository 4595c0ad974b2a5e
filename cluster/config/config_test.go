package config

import (
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func none(string) string { return "" }

func source(flags map[string][]string, env map[string]string, file string) *Source {
	values, err := ReadFile(strings.NewReader(file))
	if err != nil {
		panic(err)
	}
	return &Source{Flags: flags, Env: func(name string) string { return env[name] }, File: values}
}

func TestDefaultsAreValid(t *testing.T) {
	seen := make(map[string]bool)
	for _, table := range [][]*Setting{Nodes(), Cluster(), Bucket(), Client()} {
		for _, s := range table {
			if seen[s.Name] {
				t.Errorf("%s is declared twice", s.Name)
			}
			seen[s.Name] = true
			if s.Default != "" && s.Check(s.Default) != nil {
				t.Errorf("%s: default %q: %v", s.Name, s.Default, s.Check(s.Default))
			}
			if s.Help == "" || strings.HasSuffix(s.Help, ".") || s.Type == "" {
				t.Errorf("%s: help %q, type %q", s.Name, s.Help, s.Type)
			}
		}
	}
	for scope, table := range map[Scope][]*Setting{ScopeNode: Nodes(), ScopeCluster: Cluster(), ScopeBucket: Bucket(), ScopeClient: Client()} {
		for _, s := range table {
			if s.Scope != scope {
				t.Errorf("%s stands in the table of scope %s", s.Name, scope)
			}
		}
	}
}

func TestGet(t *testing.T) {
	if d := IdleTimeout.Get(none); d != 90*time.Second {
		t.Errorf("default is %v", d)
	}
	set := func(name string) string {
		return map[string]string{"http.idle-timeout": "5s", "store.inline-max": "2KiB", "s3.redirect": "of another version"}[name]
	}
	if IdleTimeout.Get(set) != 5*time.Second || InlineMax.Get(set) != 2048 || S3Redirect.Get(set) != "auto" {
		t.Errorf("got %v %v %v", IdleTimeout.Get(set), InlineMax.Get(set), S3Redirect.Get(set))
	}
}

func TestPrecedence(t *testing.T) {
	s := source(
		map[string][]string{"listen": {":1"}, "mountpath": {"/a", "/b"}},
		map[string]string{"AISLE_LISTEN": ":2", "AISLE_INTRA_LISTEN": ":2", "AISLE_DIR": "/state", "AISLE_JOIN": "h:1, i:2"},
		"listen = :3\nintra-listen = :3\ngossip-listen = :3\nmountpath = /c\ns3.redirect = never")
	n, err := LoadNode(s)
	if err != nil {
		t.Fatal(err)
	}
	if n.Listen != ":1" || n.IntraListen != ":2" || n.GossipListen != ":3" || strings.Join(n.Mountpaths, " ") != "/a /b" {
		t.Errorf("got %+v", n)
	}
	if strings.Join(n.Join, " ") != "h:1 i:2" || n.Roles != cluster.Proxy|cluster.Target || n.Initial["s3.redirect"] != "never" || len(n.Initial) != 1 {
		t.Errorf("got %+v", n)
	}
}

func TestUnsafeCombinations(t *testing.T) {
	f := func(want string, change map[string][]string, env map[string]string) {
		t.Helper()
		flags := map[string][]string{"dir": {"/state"}, "mountpath": {"/a"}}
		for name, v := range change {
			flags[name] = v
		}
		_, err := LoadNode(source(flags, env, ""))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: got %v, want %q", change, err, want)
		}
	}
	f("", nil, nil)
	f("--dir is needed", map[string][]string{"dir": {""}}, nil)
	f("at least one --mountpath", map[string][]string{"mountpath": {""}}, nil)
	f("--role does not name target", map[string][]string{"role": {"proxy"}}, nil)
	f("", map[string][]string{"role": {"proxy"}, "mountpath": {""}}, nil)
	f("unknown role", map[string][]string{"role": {"primary"}}, nil)
	f("belong together", map[string][]string{"tls-cert": {"c"}}, nil)
	f("belong together", nil, map[string]string{"AISLE_ACCESS_KEY": "k"})
	f("not both", map[string][]string{"cluster-secret-file": {"f"}}, map[string]string{"AISLE_CLUSTER_SECRET": "s"})
	f("HOST:PORT", map[string][]string{"listen": {"8080"}}, nil)
	f("--join", map[string][]string{"join": {"host"}}, nil)
	f("speaks http", map[string][]string{"public-url": {"https://h:1"}}, nil)
	f("", map[string][]string{"public-url": {"https://h:1"}, "tls-cert": {"c"}, "tls-key": {"k"}}, nil)
	f("not http(s)", map[string][]string{"public-url": {"h:1"}}, nil)
	f("http.idle-timeout", nil, map[string]string{"AISLE_HTTP_IDLE_TIMEOUT": "1ms"})
}

func TestReadFile(t *testing.T) {
	f := func(text, wantErr string) map[string][]string {
		t.Helper()
		got, err := ReadFile(strings.NewReader(text))
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%q: got %v, want %q", text, err, wantErr)
		}
		return got
	}
	got := f("# a node\n\ndir = \"/a b#c\" # comment\nmountpath=/m1\nmountpath = /m2 # second\n", "")
	if got["dir"][0] != "/a b#c" || strings.Join(got["mountpath"], " ") != "/m1 /m2" {
		t.Errorf("got %v", got)
	}
	f("dir", "line 1")
	f("dirr = x", `no setting "dirr"`)
	f("dir = a\ndir = b", "line 2: dir is given twice")
	f("dir = \"a", "quotes of dir")
	f("dir = \"a\" b", "after the value")
	f("secret-key = x", "AISLE_SECRET_KEY")
	f("http.idle-timeout = fast", "line 1: http.idle-timeout")
	f("metadata-cache = 1KiB", "less than 16MiB")
	f("metadata-cache = 1GiB", "")
	f("= x", "not name = value")
}

func TestSizes(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		if got, err := ParseSize(text); err != nil && want >= 0 || err == nil && got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	f("0", 0)
	f("4096", 4096)
	f("4KiB", 4096)
	f("4kib", 4096)
	f("1.5 MiB", 3<<19)
	f("1GB", 1e9)
	f("7B", 7)
	for _, bad := range []string{"", "-1", "x", "KiB", "1e30", "NaN", "9999999TiB"} {
		f(bad, -1)
	}
	if FormatSize(64<<20) != "64MiB" || FormatSize(1000) != "1000B" {
		t.Error(FormatSize(64<<20), FormatSize(1000))
	}
}

func TestSetProps(t *testing.T) {
	f := func(name, value string, kind cluster.Kind) {
		t.Helper()
		_, err := SetProps(DefaultProps(), map[string]string{name: value})
		if cluster.KindOf(err) != kind || kind == 0 && err != nil {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	f("checksum.type", "sha512", 0)
	f("checksum.type", "sha3", cluster.KindInvalid)
	f("replicas", "1", 0)
	f("replicas", "8", 0)
	f("replicas", "9", cluster.KindInvalid)
	f("replicas", "cluster", 0)
	f("replicas", "0", cluster.KindInvalid)
	f("min_copies", "auto", 0)
	f("min_copies", "1", 0)
	f("min_copies", "0", cluster.KindInvalid)
	f("min_copies", "9", cluster.KindInvalid)
	f("redirect", "always", 0)
	f("redirect", "sometimes", cluster.KindInvalid)
	f("ec", "4+2", 0)
	f("ec", "16+8", 0)
	f("ec", "none", 0)
	f("ec", "17+1", cluster.KindInvalid)
	f("ec", "4+9", cluster.KindInvalid)
	f("ec", "4", cluster.KindInvalid)
	f("ec", "4+0", cluster.KindInvalid)
	f("ec", "0+4", cluster.KindInvalid)
	f("ec.enabled", "true", cluster.KindNotImplemented)
	f("mirror.enabled", "true", 0)
	f("mirror.enabled", "perhaps", cluster.KindInvalid)
	f("mirror.copies", "1", 0)
	f("mirror.copies", "8", 0)
	f("mirror.copies", "0", cluster.KindInvalid)
	f("mirror.copies", "9", cluster.KindInvalid)
	f("mirror.burst", "9", cluster.KindNotImplemented)
	f("colour", "red", cluster.KindInvalid)
	kept := cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 2}
	for name, value := range map[string]string{"replicas": "cluster", "min_copies": "3"} {
		if _, err := SetProps(kept, map[string]string{name: value}); !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("%s=%s of a bucket of two copies: %v", name, value, err)
		}
	}
	mirrored := cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 2, Mirror: 3}
	shards := cluster.BucketProps{Checksum: cluster.ChecksumMD5, Data: 4, Parity: 2}
	g := func(of cluster.BucketProps, changes map[string]string, want cluster.Layout) {
		t.Helper()
		p, err := SetProps(of, changes)
		if want == (cluster.Layout{}) {
			if !cluster.Is(err, cluster.KindInvalid) {
				t.Errorf("%v of %s: %v", changes, of.Layout(), err)
			}
			return
		}
		if err != nil || p.Layout() != want {
			t.Errorf("%v of %s: %s, %v", changes, of.Layout(), p.Layout(), err)
		}
	}
	g(kept, map[string]string{"mirror.enabled": "true"}, cluster.Layout{Copies: 2, Mirror: 2})
	g(kept, map[string]string{"mirror.enabled": "true", "mirror.copies": "3"}, cluster.Layout{Copies: 2, Mirror: 3})
	g(kept, map[string]string{"mirror.enabled": "false", "mirror.copies": "3"}, cluster.Layout{})
	g(mirrored, map[string]string{"mirror.enabled": "true"}, cluster.Layout{Copies: 2, Mirror: 3})
	g(mirrored, map[string]string{"mirror.enabled": "false"}, cluster.Layout{Copies: 2})
	g(mirrored, map[string]string{"mirror.copies": "1"}, cluster.Layout{Copies: 2})
	g(mirrored, map[string]string{"replicas": "1"}, cluster.Layout{Copies: 1, Mirror: 3})
	g(mirrored, map[string]string{"ec": "2+1"}, cluster.Layout{})
	g(shards, PropsMap(shards), shards.Layout())
	g(shards, map[string]string{"min_copies": "4"}, shards.Layout())
	g(shards, map[string]string{"min_copies": "3"}, cluster.Layout{})
	g(shards, map[string]string{"min_copies": "7"}, cluster.Layout{})
	g(shards, map[string]string{"ec": "none"}, cluster.Layout{})
	g(shards, map[string]string{"ec": "none", "replicas": "3"}, cluster.Layout{Copies: 3})
	g(shards, map[string]string{"replicas": "3"}, cluster.Layout{Copies: 3})
	g(kept, map[string]string{"ec": "2+1"}, cluster.Layout{Data: 2, Parity: 1})
	g(kept, map[string]string{"ec": "2+1", "replicas": "2"}, cluster.Layout{})
	if n := shards.LeastCopies(); n != 5 {
		t.Errorf("%d shards must be durable", n)
	}
	for i, redirect := range []string{"", "never"} {
		want := cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 2, MinCopies: 2 * i, Redirect: redirect}
		p, err := SetProps(DefaultProps(), PropsMap(want))
		if err != nil || p != want {
			t.Errorf("got %+v, %v", p, err)
		}
	}
}

func TestNewReplicas(t *testing.T) {
	f := func(setting string, targets, want int) {
		t.Helper()
		if got := NewReplicas(func(string) string { return setting }, targets); got != want {
			t.Errorf("bucket.replicas=%s, %d targets: %d copies, want %d", setting, targets, got, want)
		}
	}
	f("", 0, 1)
	f("", 2, 1)
	f("", 3, 2)
	f("auto", 5, 2)
	f("1", 5, 1)
	f("3", 2, 3) // and the leader refuses it
}

func TestCheckCluster(t *testing.T) {
	f := func(name, value string, ok bool) {
		t.Helper()
		if err := CheckCluster(map[string]string{name: value}); (err == nil) != ok || !ok && !cluster.Is(err, cluster.KindInvalid) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	f("s3.redirect", "always", true)
	f("s3.redirect", "", true)
	f("s3.redirect", "sometimes", false)
	f("listen", ":1", false)
	f("s3.domain", "s3.example.com, LOCALHOST", true)
	f("s3.domain", ".example.com", false)
	f("s3.domain", "example.com:8080", false)
	f("metrics.public", "false", true)
	f("metrics.public", "no", false)
	if Effective(map[string]string{"s3.redirect": "never"})["s3.redirect"] != "never" || Effective(nil)["log.level"] != "info" {
		t.Error("Effective")
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add("dir = \"a\" # b\nmountpath = x\n")
	f.Fuzz(func(t *testing.T, text string) { ReadFile(strings.NewReader(text)) })
}
