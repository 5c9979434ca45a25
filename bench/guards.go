package main

import "context"

// guardRounds is the minimum number of rounds for the part guards: the cost of guards is
// smaller than the difference between two rounds.
const guardRounds = 7

// unguarded is the section that turns off every guard with a default.
const unguarded = "guards: {wal_backlog: off, replica_lag: off, connections: off, lock_waits: off, oldest_transaction: off, latency: off, checkpoint: off}\n"

// guards times a purge with the default guards, with the same guards read five times as
// often, and with none.
func guards(ctx context.Context, b *bench) error {
	const part = "guards"
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return err
	}
	defer func(rounds int) { b.rounds = rounds }(b.rounds)
	b.rounds = max(b.rounds, guardRounds)
	off, on, often := defaultSide, defaultSide, defaultSide
	off.guards, often.guards = unguarded, "guards: {every: 1s}\n"
	ways := []method{b.method(off), b.method(on), b.method(often)}
	ways[0].name, ways[1].name, ways[2].name = "reaper, no guards", "reaper, the default guards", "reaper, guards every second"
	turns, err := b.runRounds(ctx, load, ways)
	if err != nil {
		return err
	}
	for i, w := range ways {
		b.Tell(part, w.name, bothRates(turns[i]))
	}
	plain := each(turns[0], turn.rowRate)
	values := ratios(each(turns[1], turn.rowRate), plain)
	b.Judge(part, "default guards to none, rows/s", spread(values, "%.2f"), "≥ 0.95", median(values) >= 0.95)
	values = ratios(each(turns[2], turn.rowRate), plain)
	b.Judge(part, "guards every second to none, rows/s", spread(values, "%.2f"), "≥ 0.95", median(values) >= 0.95)
	return nil
}
