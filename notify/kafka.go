package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/aisle-store/aisle/cluster/config"
)

// kafka produces to one topic; a message is taken when all replicas in sync have it.
type kafka struct{ client *kgo.Client }

func newKafka(d config.Destination) (conn, error) {
	scheme, rest, _ := strings.Cut(d.URL, "://")
	authority, path, _ := strings.Cut(rest, "/")
	topic, _, _ := strings.Cut(path, "?")
	brokers := authority
	options := []kgo.Opt{
		kgo.ClientID("aisle"), kgo.DefaultProduceTopic(topic), kgo.RecordDeliveryTimeout(attempt), kgo.ProducerLinger(0),
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		brokers = authority[at+1:]
		u, err := url.Parse("x://" + authority[:at] + "@h")
		if err != nil {
			return nil, err
		}
		password, _ := u.User.Password()
		options = append(options, kgo.SASL(plain.Auth{User: u.User.Username(), Pass: password}.AsMechanism()))
	}
	if scheme == "kafkas" {
		options = append(options, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(brokers, ",")...))...)
	if err != nil {
		return nil, err
	}
	return &kafka{client}, nil
}

func (k *kafka) send(ctx context.Context, messages []Message) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	records := make([]*kgo.Record, len(messages))
	index := make(map[*kgo.Record]int, len(messages))
	for i := range messages {
		records[i] = &kgo.Record{Key: []byte(messages[i].Key), Value: messages[i].Body}
		index[records[i]] = i
	}
	// Results come in the order in which partitions answer: what counts is the first of ours that failed.
	taken, err := len(messages), error(nil)
	for _, result := range k.client.ProduceSync(ctx, records...) {
		if i := index[result.Record]; result.Err != nil && i < taken {
			taken, err = i, result.Err
		}
	}
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) {
		err = &refusedError{err}
	}
	return taken, err
}

func (k *kafka) close() { k.client.Close() }
