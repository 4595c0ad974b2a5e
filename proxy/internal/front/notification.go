package front

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/notify"
	"github.com/aisle-store/aisle/s3"
)

// Notifier knows where events can be sent; *notify.Sender is one.
type Notifier interface {
	Find(name string) (config.Destination, bool)
	Send(ctx context.Context, destination string, messages []notify.Message) (int, error)
}

var bucketNotification = documentKind{
	name: s3.NotificationKind, parse: parsed(s3.ParseNotification), check: checkDestinations, decode: s3.DecodeNotification, status: http.StatusOK,
	longest: s3.MaxNotificationBody, initial: &s3.Notification{},
}

// testEventLimit is how long a destination may take to accept a test event.
const testEventLimit = 5 * time.Second

// checkDestinations refuses whom a bucket is to tell of changes when a destination does not exist, or does not take a test event.
func checkDestinations(f *Front, ctx context.Context, r *s3Request, doc document) error {
	const op = "proxy/front.checkDestinations"
	n := doc.(*s3.Notification)
	refuse := func(arn, why string) error {
		return s3.NewFault(op, s3.InvalidArgument, "Unable to validate the following destination configurations",
			s3.Field{Name: "ArgumentName", Value: arn}, s3.Field{Name: "ArgumentValue", Value: why})
	}
	named := make(map[string]string) // the ARN by which each is named
	for i := range n.Rules {
		rule := &n.Rules[i]
		name, kind, ok := rule.Destination()
		if !ok {
			return refuse(rule.ARN, "The ARN is not well formed")
		}
		if d, found := f.o.Notify.Find(name); !found || d.Type != kind {
			return refuse(rule.ARN, "The destination does not exist")
		}
		named[name] = rule.ARN
	}
	if n.Bridge {
		if _, found := f.o.Notify.Find(s3.EventBridge); !found {
			return refuse(s3.EventBridge, "The destination does not exist")
		}
		named[s3.EventBridge] = s3.EventBridge
	}
	if r.call.Get("x-amz-skip-destination-validation") == "true" {
		return nil
	}
	event, err := s3.TestEvent(r.call.Bucket, r.req.ID, string(f.o.Self), f.o.Now())
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	ctx, cancel := context.WithTimeout(ctx, testEventLimit)
	defer cancel()
	for name, arn := range named {
		if _, err := f.o.Notify.Send(ctx, name, []notify.Message{{Key: string(r.call.Bucket), Body: event}}); err != nil {
			f.o.Logger.Warn("a destination does not take a test event", "destination", name, "bucket", string(r.call.Bucket), "error", err)
			return refuse(arn, "The destination does not take a test event")
		}
	}
	return nil
}

// toldRemote is what the owner of an object is told of the client's address: nothing, unless the bucket tells others of its changes.
func toldRemote(view *control.View, bucket cluster.BucketID, remote string) string {
	if _, ok := view.BucketConfig(bucket, bucketNotification.name); !ok {
		return ""
	}
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
