package front

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

// notices says whom a bucket tells of a change of a key: done is what happens to the object, marker what happens when a delete
// marker is made. nil: the bucket tells nobody anything.
func (f *Front) notices(g *intra.Grant, bucket cluster.BucketEntry, key cluster.ObjectKey, done, marker s3.Event) store.Notices {
	config, ok := f.o.Control.Applied().BucketConfig(bucket.ID, s3.NotificationKind)
	if !ok || f.o.Admits == nil {
		return nil
	}
	doc, err := config.Parsed(s3.DecodeNotification)
	if err != nil {
		return nil // of a later version, which could not be understood
	}
	rules := doc.(*s3.Notification)
	return func(_ *store.Info, marked bool) []store.Notice {
		event := done
		if marked {
			event = marker
		}
		var notices []store.Notice
		for _, to := range rules.Match(event, key) {
			if f.o.Admits(to.Destination) {
				notices = append(notices, store.Notice{To: to.Destination, Rule: to.Rule, Event: event.String(), Remote: g.Remote})
			}
		}
		return notices
	}
}

// ExpiryNotices says whom a bucket tells that a version of a key has expired.
func (f *Front) ExpiryNotices(bucket cluster.BucketEntry, key cluster.ObjectKey) store.Notices {
	return f.notices(&intra.Grant{}, bucket, key, s3.EventExpired, s3.EventExpiredMarker)
}
