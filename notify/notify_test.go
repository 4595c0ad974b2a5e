package notify

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
)

// senderTo returns a sender for what the setting says, which may be changed.
func senderTo(t *testing.T, setting *string) *Sender {
	t.Helper()
	s := NewSender(func() []config.Destination {
		all, err := config.NotifyDestinations.Parse(*setting)
		if err != nil {
			t.Error(err)
		}
		return all
	})
	t.Cleanup(s.Close)
	return s
}

func messages(n int) []Message {
	all := make([]Message, n)
	for i := range all {
		all[i] = Message{Key: "b/k", Body: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return all
}

func (s *Sender) want(t *testing.T, to string, in []Message, want int, ok bool) {
	t.Helper()
	sent, err := s.Send(context.Background(), to, in)
	if sent != want || (err == nil) != ok {
		t.Fatalf("%d sent to %s, %v; want %d", sent, to, err, want)
	}
	if err != nil && !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatal(err)
	}
}

func TestWebhook(t *testing.T) {
	var mu sync.Mutex
	var got []string
	refuse, answer := -1, 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/hook", http.StatusTemporaryRedirect)
			return
		}
		if answer != 0 {
			w.WriteHeader(answer)
			return
		}
		if len(got) == refuse {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Content-Type")+" "+string(body))
	}))
	defer hook.Close()
	address := strings.TrimPrefix(hook.URL, "http://")
	setting := "plain=http://" + address + "/hook bearer=http://to%2Fken@" + address + "/ basic=http://u:p@" + address + "/ away=http://token@" + address + "/away gone=http://127.0.0.1:1/"
	s := senderTo(t, &setting)
	s.want(t, "plain", messages(2), 2, true)
	s.want(t, "bearer", messages(1), 1, true)
	s.want(t, "basic", messages(1), 1, true)
	want := []string{
		`POST /hook  application/json {"n":0}`, `POST /hook  application/json {"n":1}`, `POST / Bearer to/ken application/json {"n":0}`,
		`POST / Basic dTpw application/json {"n":0}`,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	refuse = 6
	s.want(t, "plain", messages(5), 2, false)
	s.want(t, "away", messages(1), 0, false)
	s.want(t, "gone", messages(1), 0, false)
	for _, status := range []int{400, 413, 415, 422} {
		answer = status
		if sent, err := s.Send(context.Background(), "plain", messages(2)); sent != 0 || !cluster.Is(err, cluster.KindInvalid) {
			t.Fatal(sent, err)
		}
	}
	answer = 0
	if _, err := s.Send(context.Background(), "unknown", messages(1)); !cluster.Is(err, cluster.KindNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Send(context.Background(), "gone", messages(1)); strings.Contains(err.Error(), "token") {
		t.Fatal(err)
	}
	setting = "plain=http://" + address + "/other"
	refuse = -1
	s.want(t, "plain", messages(1), 1, true)
	if last := got[len(got)-1]; !strings.HasPrefix(last, "POST /other ") {
		t.Fatal(last)
	}
	s.Close()
	s.want(t, "plain", messages(1), 0, false)
}

func natsServer(t *testing.T, port int, dir string) *server.Server {
	t.Helper()
	n, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	n.Start()
	if !n.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	return n
}

func TestNATS(t *testing.T) {
	dir := t.TempDir()
	n := natsServer(t, -1, dir)
	defer func() { n.Shutdown(); n.WaitForShutdown() }()
	reader, err := nats.Connect(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	sub, err := reader.SubscribeSync("events")
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Flush(); err != nil {
		t.Fatal(err)
	}
	js, err := reader.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	setting := "core=" + n.ClientURL() + "/events stream=" + n.ClientURL() + "/kept?jetstream=true"
	s := senderTo(t, &setting)
	s.want(t, "core", messages(3), 3, true)
	for i := range 3 {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil || string(m.Data) != fmt.Sprintf(`{"n":%d}`, i) {
			t.Fatal(m, err)
		}
	}
	large := messages(3)
	large[1].Body = make([]byte, 2<<20)
	if sent, err := s.Send(context.Background(), "core", large); sent != 1 || !cluster.Is(err, cluster.KindInvalid) {
		t.Fatal(sent, err)
	}
	s.want(t, "stream", messages(1), 0, false) // no stream takes it
	if _, err := js.AddStream(&nats.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	s.want(t, "stream", messages(3), 3, true)
	if info, err := js.StreamInfo("KEPT"); err != nil || info.State.Msgs != 3 {
		t.Fatal(info, err)
	}
	port := n.Addr().String()[strings.LastIndexByte(n.Addr().String(), ':')+1:]
	n.Shutdown()
	n.WaitForShutdown()
	s.want(t, "core", messages(1), 0, false)
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	n = natsServer(t, number, dir)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := s.Send(context.Background(), "core", messages(1)); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestKafka(t *testing.T) {
	k, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(3, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	setting := "log=kafka://" + strings.Join(k.ListenAddrs(), ",") + "/events none=kafka://127.0.0.1:1/events"
	s := senderTo(t, &setting)
	s.want(t, "log", messages(20), 20, true)
	reader, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.ConsumeTopics("events"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for n := 0; n < 20; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			if want := fmt.Sprintf(`{"n":%d}`, n); string(r.Key) != "b/k" || string(r.Value) != want {
				t.Fatalf("%s: %s, want %s", r.Key, r.Value, want)
			}
			n++
		}
	}
	short, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if sent, err := s.Send(short, "none", messages(2)); sent != 0 || err == nil {
		t.Fatal(sent, err)
	}
}
