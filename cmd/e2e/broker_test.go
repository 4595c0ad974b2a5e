//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// TestBrokers has a bucket tell a NATS server and a Kafka cluster, both in this process, of what is put into it.
func TestBrokers(t *testing.T) {
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	if !broker.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	conn, err := nats.Connect(broker.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	sub, err := conn.SubscribeSync("events")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	kafka, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(3, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)

	c := testcluster.Start(t, testcluster.Options{})
	g := &gateways{t: t, cluster: c, client: newClient(c)}
	g.setting(t, "notify.destinations", "core="+broker.ClientURL()+"/events log=kafka://"+strings.Join(kafka.ListenAddrs(), ",")+"/events")
	const bucket, objects = "told", 6
	clients := make([]*s3.Client, len(c.Nodes))
	for i, e := range c.Endpoints() {
		clients[i] = sdk(c, e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := clients[0].CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	tell := &s3.PutBucketNotificationConfigurationInput{Bucket: aws.String(bucket), NotificationConfiguration: &types.NotificationConfiguration{
		QueueConfigurations: []types.QueueConfiguration{queueRule("core:nats", "n/"), queueRule("log:kafka", "k/")},
	}}
	// The setting holds at every node once it is acknowledged: one that was not asked to set it takes the rules.
	if _, err := clients[2].PutBucketNotificationConfiguration(ctx, tell); err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		for _, prefix := range []string{"n/", "k/"} {
			key := fmt.Sprintf("%s%d", prefix, i)
			if _, err := clients[i%len(clients)].PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader([]byte(key))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantTold(t, "NATS", "n/", objects, func() ([]byte, error) {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	})
	reader, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.ConsumeTopics("events"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var waiting []*kgo.Record
	wantTold(t, "Kafka", "k/", objects, func() ([]byte, error) {
		for len(waiting) == 0 {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return nil, err
			}
			waiting = fetches.Records()
		}
		m := waiting[0]
		waiting = waiting[1:]
		return m.Value, nil
	})
}

func queueRule(destination, prefix string) types.QueueConfiguration {
	return types.QueueConfiguration{
		QueueArn: aws.String("arn:aisle:sqs::" + destination), Events: []types.Event{"s3:ObjectCreated:*"},
		Filter: &types.NotificationConfigurationFilter{Key: &types.S3KeyFilter{FilterRules: []types.FilterRule{{Name: types.FilterRuleNamePrefix, Value: &prefix}}}},
	}
}

// wantTold reads messages until each of the objects was told, in any order and perhaps more than once, and none that has another prefix.
func wantTold(t *testing.T, who, prefix string, objects int, next func() ([]byte, error)) {
	t.Helper()
	told := make(map[string]bool)
	for len(told) < objects {
		message, err := next()
		if err != nil {
			t.Fatalf("%s was told of %v only: %v", who, told, err)
		}
		if bytes.Contains(message, []byte("s3:TestEvent")) {
			continue
		}
		_, rest, _ := bytes.Cut(message, []byte(`"key":"`))
		key, _, _ := bytes.Cut(rest, []byte(`"`))
		name := strings.ReplaceAll(string(key), "%2F", "/")
		if !strings.HasPrefix(name, prefix) {
			t.Fatalf("%s was told %s", who, message)
		}
		told[name] = true
	}
}
