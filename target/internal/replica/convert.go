package replica

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/store"
)

func toRecords(of []*meta.Record) ([]record, error) {
	all := make([]record, len(of))
	for i, r := range of {
		whole := *r
		whole.HasManifest = false // the parts go with it
		text, err := meta.EncodeFooter(&whole)
		if err != nil {
			return nil, err
		}
		all[i] = record{Text: text, Inline: r.Inline}
	}
	return all, nil
}

func fromRecords(of []record) ([]*meta.Record, error) {
	all := make([]*meta.Record, len(of))
	for i := range of {
		r, err := meta.DecodeFooter(of[i].Text)
		if err != nil {
			return nil, cluster.E("target/replica", "", cluster.KindInvalid, err)
		}
		if len(of[i].Inline) > 0 {
			r.Inline = of[i].Inline
		}
		all[i] = r
	}
	return all, nil
}

func toRef(r meta.Ref) ref {
	return ref{
		Kind: r.Kind, Bucket: r.Bucket, Key: r.Key, Version: r.Version, Upload: r.Upload, Part: r.Part,
		Epoch: r.Generation.Epoch, Counter: r.Generation.Counter,
	}
}

func fromRef(r ref) meta.Ref {
	return meta.Ref{
		Kind: r.Kind, Bucket: r.Bucket, Key: r.Key, Version: r.Version, Upload: r.Upload, Part: r.Part,
		Generation: cluster.Generation{Epoch: r.Epoch, Counter: r.Counter},
	}
}

// each converts a slice; nil of an empty one.
func each[A, B any](of []A, convert func(A) B) []B {
	if len(of) == 0 {
		return nil
	}
	all := make([]B, len(of))
	for i := range of {
		all[i] = convert(of[i])
	}
	return all
}

func toGeneration(g cluster.Generation) generation   { return generation(g) }
func fromGeneration(g generation) cluster.Generation { return cluster.Generation(g) }

func toSource(s store.Source) source {
	return source{
		Record: s.Record, Piece: s.Piece, Token: s.Token, Kind: s.From.Kind, Upload: s.From.Upload, Part: s.From.Part,
		Version: s.From.Version, Epoch: s.From.Generation.Epoch, Counter: s.From.Generation.Counter, At: s.At,
	}
}

// fromSource needs the record that the sources are for.
func fromSource(s source, of meta.Ref) store.Source {
	from := meta.Ref{Kind: s.Kind, Upload: s.Upload, Part: s.Part, Version: s.Version, Generation: cluster.Generation{Epoch: s.Epoch, Counter: s.Counter}}
	if s.Kind != 0 {
		from.Bucket, from.Key = of.Bucket, of.Key
	}
	return store.Source{Record: s.Record, Piece: s.Piece, Token: s.Token, From: from, At: s.At}
}

func toPrepare(r *store.PrepareRequest) (*prepare, error) {
	records, err := toRecords(r.Records)
	if err != nil {
		return nil, err
	}
	beside, err := toRecords(r.Beside)
	if err != nil {
		return nil, err
	}
	return &prepare{
		Sender: sender(r.Sender), Slot: r.Slot, At: toGeneration(r.Generation), Records: records, Beside: beside,
		Abandon: each(r.Abandon, toRef), Visible: each(r.Visible, toRef), Sources: each(r.Sources, toSource), Asks: r.Asks,
	}, nil
}

func fromPrepare(m *prepare) (*store.PrepareRequest, error) {
	r := &store.PrepareRequest{
		Sender: store.Sender(m.Sender), Slot: m.Slot, Epoch: m.At.Epoch, Generation: fromGeneration(m.At),
		Abandon: each(m.Abandon, fromRef), Visible: each(m.Visible, fromRef), Asks: m.Asks,
	}
	var err error
	if r.Records, err = fromRecords(m.Records); err != nil {
		return nil, err
	}
	if r.Beside, err = fromRecords(m.Beside); err != nil {
		return nil, err
	}
	if len(r.Records) > 0 {
		r.Sources = each(m.Sources, func(s source) store.Source { return fromSource(s, r.Records[0].Ref) })
	}
	return r, nil
}

func toCursor(c store.Cursor) (kind int, after []ref) {
	if c.After != nil {
		after = []ref{toRef(*c.After)}
	}
	return c.Kind, after
}

func fromCursor(kind int, after []ref) store.Cursor {
	c := store.Cursor{Kind: kind}
	if len(after) > 0 {
		r := fromRef(after[0])
		c.After = &r
	}
	return c
}

func toRange(r *store.ShardRange) []shardRange {
	if r == nil {
		return nil
	}
	return []shardRange{shardRange(*r)}
}

func fromRange(of []shardRange) *store.ShardRange {
	if len(of) == 0 {
		return nil
	}
	r := store.ShardRange(of[0])
	return &r
}
