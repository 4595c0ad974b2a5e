package config

import "testing"

func TestDestinations(t *testing.T) {
	all, err := NotifyDestinations.Parse(" hook=https://s3cret@h.example.com/a/b?c=d  bus=nats://u:p@n:4222/events.x log=kafkas://u:p@k1:9092,k2:9092/topic ")
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	if all[0].ARN() != "arn:aisle:sqs::hook:webhook" || all[1].Type != "nats" || all[2].Type != "kafka" || all[2].URL != "kafkas://u:p@k1:9092,k2:9092/topic" {
		t.Errorf("%+v", all)
	}
	shown := Effective(map[string]string{"notify.destinations": "hook=https://s3cret@h.example.com/a?c=d bus=nats://u:p@n:4222/x"})["notify.destinations"]
	if want := "hook=https://h.example.com/... bus=nats://n:4222/..."; shown != want {
		t.Errorf("shown: %s", shown)
	}
	for _, bad := range []string{
		"hook", "=http://h/", "a b", "h=ftp://h/", "h=http://", "h=http:///x", "h=http://%zz/", "a:b=http://h/", "h=nats://h:4222", "h=nats://h/", "h=kafka://h/a/b",
		"h=http://a/ h=http://b/", "h=http://u:p ass@h/",
	} {
		if all, err := NotifyDestinations.Parse(bad); err == nil {
			t.Errorf("%q is %+v", bad, all)
		}
	}
	if all, err := NotifyDestinations.Parse(""); err != nil || len(all) > 0 {
		t.Error(all, err)
	}
}
