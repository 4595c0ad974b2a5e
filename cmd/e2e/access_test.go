//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cmd/internal/testcluster"
	aisleclient "github.com/aisle-store/aisle/proxy/client"
)

// TestAccess adds users by the command line, and shows with boto3 what each of them may, through every gateway.
func TestAccess(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	document := filepath.Join(t.TempDir(), "limited.json")
	if err := os.WriteFile(document, []byte(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*/home/${aws:username}/*"},
		{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": "home/${aws:username}/*"}}},
		{"Sid": "Locked", "Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::*/locked/*"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) {
		t.Helper()
		if out, err := aisle(t, c, append([]string{"auth"}, args...)...); err != nil {
			t.Fatalf("aisle auth %v: %v\n%s", args, err, out)
		}
	}
	user := func(name string, more ...string) {
		t.Helper()
		do(append([]string{"add", "user", name, "--access-key", name + "-key", "--secret-key", name + "-secret"}, more...)...)
	}
	do("add", "group", "writers", "--policy", "writeonly")
	do("add", "policy", "limited", document)
	user("reader", "--policy", "readonly")
	user("writer", "--group", "writers")
	user("owner", "--policy", "ownbuckets")
	user("limited", "--policy", "limited")
	user("nobody")
	for name, python := range pythons(t) {
		t.Run(name, func(t *testing.T) { runBoto3(t, c, python, boto3Access, "access-"+name) })
	}
	t.Run("native", func(t *testing.T) { nativeAccess(t, c, do) })
	t.Run("roles", func(t *testing.T) { rolesByCommands(t, c, do) })
	t.Run("denials", func(t *testing.T) { denialsOfAll(t, c) })
	t.Run("restart", func(t *testing.T) {
		c.KillAll()
		c.StartAll()
		if out, err := aisle(t, c, "auth", "show", "user", "-H"); err != nil || !strings.Contains(out, "limited") {
			t.Errorf("after a restart: %v\n%s", err, out)
		}
	})
}

// nativeAccess shows what users may by the native API, and that a key that is inactive or removed is nobody's at once.
func nativeAccess(t *testing.T, c *testcluster.Cluster, do func(args ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b := cluster.Native("access-native")
	as := func(gateway int, user string) *aisleclient.Client {
		cl, err := aisleclient.New(aisleclient.Options{Endpoints: c.Endpoints()[gateway : gateway+1], AccessKey: user + "-key", SecretKey: user + "-secret"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	want := func(err error, kind cluster.Kind) {
		t.Helper()
		if !cluster.Is(err, kind) {
			t.Errorf("%v, want %s", err, kind)
		}
	}
	want(as(0, "reader").CreateBucket(ctx, b, nil), cluster.KindDenied)
	if err := as(1, "owner").CreateBucket(ctx, b, nil); err != nil {
		t.Fatal(err)
	}
	want(as(2, "owner").SetBucketProps(ctx, b, map[string]string{"redirect": "never"}), cluster.KindDenied)
	_, err := as(0, "owner").Smap(ctx)
	want(err, cluster.KindDenied)
	_, err = as(0, "nobody").Identities(ctx, "user", "")
	want(err, cluster.KindDenied)
	do("set", "user", "nobody", "--policy", "consoleAdmin")
	for i := range c.Nodes {
		if _, err := as(i, "nobody").Identities(ctx, "user", ""); err != nil {
			t.Error(err)
		}
	}
	do("set", "key", "nobody-key", "--active=false")
	for i := range c.Nodes {
		_, err = as(i, "nobody").Smap(ctx)
		want(err, cluster.KindUnauthenticated)
	}
	do("rm", "user", "owner")
	for i := range c.Nodes {
		_, err = as(i, "owner").ListBuckets(ctx)
		want(err, cluster.KindUnauthenticated)
	}
}

// rolesByCommands adds, changes, shows and removes roles and issuers of web identities.
func rolesByCommands(t *testing.T, c *testcluster.Cluster, do func(args ...string)) {
	trust := filepath.Join(t.TempDir(), "trust.json")
	if err := os.WriteFile(trust, []byte(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	shows := func(want string, args ...string) {
		t.Helper()
		out, err := aisle(t, c, append([]string{"auth", "show"}, args...)...)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("aisle auth show %v: %v\n%s\nhas no %q", args, err, out, want)
		}
	}
	do("add", "role", "visitor", trust, "--policy", "readonly", "--session", "2h")
	shows("2h0m0s", "role")
	do("set", "role", "visitor", "--policy", "writeonly", "--session", "12h")
	shows("writeonly", "role")
	shows("sts:AssumeRole", "role", "visitor")
	do("add", "provider", "https://id.example.org/here", "--client", "one", "--client", "two")
	do("set", "provider", "https://id.example.org/here", "--client", "three")
	shows("oidc-provider/id.example.org/here", "provider", "https://id.example.org/here")
	shows("three", "provider")
	do("rm", "provider", "https://id.example.org/here")
	do("rm", "role", "visitor")
	if out, err := aisle(t, c, "auth", "show", "role", "visitor"); err == nil {
		t.Errorf("a removed role is shown:\n%s", out)
	}
}

// denialsOfAll shows that what was denied at any gateway, or by the owner of an object, is told by the cluster with its reason, and
// to nobody who may not manage it.
func denialsOfAll(t *testing.T, c *testcluster.Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range c.Nodes {
		as, err := aisleclient.New(aisleclient.Options{Endpoints: c.Endpoints()[i : i+1], AccessKey: "limited-key", SecretKey: "limited-secret"})
		if err != nil {
			t.Fatal(err)
		}
		b := cluster.Native("access-native")
		if _, err := as.PutObject(ctx, b, cluster.ObjectKey(fmt.Sprintf("locked/by-%d", i)), strings.NewReader("x"), 1); !cluster.Is(err, cluster.KindDenied) {
			t.Errorf("%v, want denied", err)
		}
		if _, err := as.Denials(ctx, "any"); !cluster.Is(err, cluster.KindDenied) {
			t.Errorf("denials are told to a user: %v", err)
		}
		as.Close()
	}
	out, err := aisle(t, c, "auth", "show", "denials", "access-native/locked")
	if err != nil {
		t.Fatal(err, out)
	}
	for i := range c.Nodes {
		if !strings.Contains(out, fmt.Sprintf("arn:aws:s3:::access-native/locked/by-%d", i)) {
			t.Errorf("what gateway %d denied is not told:\n%s", i, out)
		}
	}
	if strings.Count(out, "statement Locked of the policy limited of user limited denies it") != len(c.Nodes) || !strings.Contains(out, "user/limited") {
		t.Errorf("it is not told who, or why:\n%s", out)
	}
}
