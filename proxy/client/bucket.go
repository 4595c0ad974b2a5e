package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strconv"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

// ListBuckets returns the buckets, ordered by name.
func (c *Client) ListBuckets(ctx context.Context) ([]cluster.Bucket, error) {
	const op = "proxy/client.ListBuckets"
	r, err := action(op, http.MethodGet, api.Buckets, nil, api.ActionList, nil)
	if err != nil {
		return nil, err
	}
	var names []api.BucketName
	if err := c.call(ctx, r, &names); err != nil {
		return nil, err
	}
	buckets := make([]cluster.Bucket, len(names))
	for i, n := range names {
		buckets[i] = n.Bucket()
	}
	return buckets, nil
}

// CreateBucket makes a bucket; props may set some of its properties.
func (c *Client) CreateBucket(ctx context.Context, b cluster.Bucket, props map[string]string) error {
	const op = "proxy/client.CreateBucket"
	var value any
	if len(props) > 0 {
		value = props
	}
	return c.act(ctx, op, http.MethodPost, b, api.ActionCreateBucket, value)
}

// DeleteBucket deletes an empty bucket.
func (c *Client) DeleteBucket(ctx context.Context, b cluster.Bucket) error {
	return c.act(ctx, "proxy/client.DeleteBucket", http.MethodDelete, b, api.ActionDestroyBucket, nil)
}

// SetBucketProps changes properties of a bucket.
func (c *Client) SetBucketProps(ctx context.Context, b cluster.Bucket, changes map[string]string) error {
	return c.act(ctx, "proxy/client.SetBucketProps", http.MethodPatch, b, api.ActionSetProps, changes)
}

func (c *Client) act(ctx context.Context, op, method string, b cluster.Bucket, name string, value any) error {
	r, err := action(op, method, api.BucketPath(b), api.BucketQuery(b), name, value)
	if err != nil {
		return err
	}
	return c.call(ctx, r, nil)
}

// Bucket returns a bucket's entry: id, properties, when and by whom it was made.
func (c *Client) Bucket(ctx context.Context, b cluster.Bucket) (cluster.BucketEntry, error) {
	const op = "proxy/client.Bucket"
	r := &request{op: op, method: http.MethodHead, path: api.BucketPath(b), query: api.BucketQuery(b)}
	res, err := c.do(ctx, r)
	if err != nil {
		return cluster.BucketEntry{}, err
	}
	drain(res)
	var props api.BucketProps
	if err := json.Unmarshal([]byte(res.Header.Get(api.HeaderBucketProps)), &props); err != nil {
		return cluster.BucketEntry{}, cluster.E(op, b.String(), cluster.KindOther, err)
	}
	return props.Entry(b), nil
}

// ListPage returns one page of a bucket's objects.
func (c *Client) ListPage(ctx context.Context, b cluster.Bucket, msg api.ListMsg) (api.ListResult, error) {
	const op = "proxy/client.ListPage"
	var page api.ListResult
	r, err := action(op, http.MethodGet, api.BucketPath(b), api.BucketQuery(b), api.ActionList, msg)
	if err != nil {
		return page, err
	}
	r.header = append(r.header, Header{"accept", api.MsgPack})
	res, err := c.do(ctx, r)
	if err != nil {
		return page, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return page, cluster.E(op, b.String(), cluster.KindOther, err)
	}
	if res.Header.Get("Content-Type") == api.MsgPack {
		err = page.ParseMsgPack(text)
	} else {
		err = json.Unmarshal(text, &page)
	}
	if err != nil {
		return page, cluster.E(op, b.String(), cluster.KindOther, err)
	}
	return page, nil
}

// List yields a bucket's objects, page by page; limit bounds their number, 0 is all.
func (c *Client) List(ctx context.Context, b cluster.Bucket, msg api.ListMsg, limit int) iter.Seq2[api.ListEntry, error] {
	return func(yield func(api.ListEntry, error) bool) {
		left := limit
		for {
			if limit > 0 && left < api.MaxPage {
				msg.PageSize = json.Number(strconv.Itoa(left))
			}
			page, err := c.ListPage(ctx, b, msg)
			if err != nil {
				yield(api.ListEntry{}, err)
				return
			}
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if page.Token == "" {
				return
			}
			msg.UUID, msg.Token = page.UUID, page.Token
		}
	}
}
