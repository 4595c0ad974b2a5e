package raftnode

import (
	"errors"
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/aisle-store/aisle/cluster"
)

// Position is how far a log goes. Logs compare by term, then by index.
type Position struct{ Term, Index uint64 }

// Beyond reports whether p lies behind other.
func (p Position) Beyond(other Position) bool {
	return p.Term > other.Term || p.Term == other.Term && p.Index > other.Index
}

// Replay gives the FSM everything that the stores of a member which does not run hold, committed or not, and returns how far
// that goes and who votes by then.
func Replay(s *Stores, fsm FSM) (end Position, voters []cluster.NodeID, err error) {
	const op = "raftnode.Replay"
	end, servers, err := replay(s, newMachine(fsm))
	if err != nil {
		return end, nil, cluster.E(op, "", cluster.KindOther, err)
	}
	for _, server := range servers.Servers {
		if server.Suffrage == raft.Voter {
			voters = append(voters, cluster.NodeID(server.ID))
		}
	}
	return end, voters, nil
}

func replay(s *Stores, m *machine) (end Position, servers raft.Configuration, err error) {
	snapshots, err := s.snapshots.List()
	if err != nil {
		return end, servers, err
	}
	if len(snapshots) > 0 {
		meta, in, err := s.snapshots.Open(snapshots[0].ID)
		if err != nil {
			return end, servers, err
		}
		if err := errors.Join(m.Restore(in), in.Close()); err != nil {
			return end, servers, err
		}
		end, servers = Position{Term: meta.Term, Index: meta.Index}, meta.Configuration
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return end, servers, err
	}
	for index := end.Index + 1; index <= last; index++ {
		var entry raft.Log
		if err := s.logs.GetLog(index, &entry); err != nil {
			return end, servers, err
		}
		switch entry.Type {
		case raft.LogCommand:
			m.Apply(&entry)
		case raft.LogConfiguration:
			servers = raft.DecodeConfiguration(entry.Data)
		}
		end = Position{Term: entry.Term, Index: entry.Index}
	}
	return end, servers, m.cause()
}

// Recover makes a member that does not run the only voter, and the state that the FSM returns, once everything has been
// replayed, the state of the cluster.
func Recover(s *Stores, id cluster.NodeID, fsm FSM, log *slog.Logger) error {
	const op = "raftnode.Recover"
	servers := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id),
	}}}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	defer transport.Close()
	m := newMachine(fsm)
	c := config(Options{ID: id, Timing: DefaultTiming(), Retention: DefaultRetention(), Logger: log})
	err := raft.RecoverCluster(c, m, s.logs, s.stable, s.snapshots, transport, servers)
	if err = errors.Join(err, m.cause()); err != nil {
		return cluster.E(op, string(id), cluster.KindOther, err)
	}
	return nil
}
