package backspace

import (
	"math/rand/v2"
	"time"
)

// Reconnect says when and for how long a lost stream is opened again. A field that is zero has its default.
type Reconnect struct {
	// InitialDelay is the first delay, 200 ms by default; each further one is twice as long.
	InitialDelay time.Duration
	// LongestDelay is 10 s by default.
	LongestDelay time.Duration
	// GiveUpAfter is how long to try without hearing anything before giving up, 5 min by default.
	GiveUpAfter time.Duration
}

// Interruption says that the connection was lost and will be made again.
type Interruption struct {
	// Error is what happened.
	Error *CallError
	// Failures is how many tries failed since the last event.
	Failures int
	// Delay is how long until the next try.
	Delay time.Duration
}

func (r Reconnect) withDefaults() Reconnect {
	if r.InitialDelay == 0 {
		r.InitialDelay = 200 * time.Millisecond
	}
	if r.LongestDelay == 0 {
		r.LongestDelay = 10 * time.Second
	}
	if r.GiveUpAfter == 0 {
		r.GiveUpAfter = 5 * time.Minute
	}
	return r
}

// delay returns the delay after so many failed tries, at least what the server asked for. Half of it is random, so
// that the clients of a restarted server do not come back together.
func (r Reconnect) delay(failures int, asked *time.Duration, chance float64) time.Duration {
	own := r.InitialDelay
	for range failures - 1 {
		if own >= r.LongestDelay {
			break
		}
		own *= 2
	}
	own = time.Duration(float64(min(own, r.LongestDelay)) * (0.5 + chance/2))
	if asked == nil {
		return own
	}
	// On top of what was asked for, or all clients would be back at the same moment.
	return max(*asked+time.Duration(float64(r.InitialDelay)*chance), own)
}

// patience counts the failures since something was last heard.
type patience struct {
	reconnect Reconnect
	failures  int
	lostSince time.Time
}

func (p *patience) heard() {
	p.failures, p.lostSince = 0, time.Time{}
}

// fail says how long to wait; an error when this one is final or the time is up.
func (p *patience) fail(cause *CallError, task string, lastSequence uint64) (Interruption, error) {
	if !cause.Retryable() {
		return Interruption{}, cause
	}
	p.failures++
	if p.lostSince.IsZero() {
		p.lostSince = time.Now()
	}
	lostFor := time.Since(p.lostSince)
	delay := p.reconnect.delay(p.failures, cause.RetryAfter, rand.Float64())
	if lostFor+delay > p.reconnect.GiveUpAfter {
		return Interruption{}, &LostError{Task: task, LastSequence: lastSequence, LostFor: lostFor, Cause: cause}
	}
	return Interruption{Error: cause, Failures: p.failures, Delay: delay}, nil
}
