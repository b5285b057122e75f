package backspace

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

// maxHoles is how many tries at the same place are made before a hole in the sequence is taken for the server's fault.
const maxHoles = 3

// TaskRun is a Task being followed. It is not for several goroutines at once, but any of them may close it.
//
// A run that has no name yet sends RunTask again under the same request id, which joins the Task if the first call made
// one; a run with a name goes on with WatchTask after the last durable event. Every durable event is checked against the
// one before: a repeat is dropped, a hole is never passed on. Live-only events pass through as they come and may be lost.
type TaskRun struct {
	ctx            context.Context
	cancel         context.CancelCauseFunc
	client         *Client
	opening        *backspacev1.RunTaskRequest
	durableOnly    bool
	onInterruption func(Interruption)

	task         string
	lastSequence uint64
	patience     patience
	holes        int
	stream       *stream
	ended        bool
}

// stream is one of the two kinds of stream, and whether nothing was heard on it yet.
type stream struct {
	receive func() (task string, event *backspacev1.TaskEvent, err error)
	cancel  context.CancelFunc
	silent  bool
}

var errClosed = errors.New("the run was closed")

// RunOption changes how a Task is followed.
type RunOption func(*TaskRun)

// WithRequestID sets the request id of RunTask, a UUID: repeated, it joins the first Task.
func WithRequestID(id string) RunOption { return func(run *TaskRun) { run.opening.RequestId = id } }

// WithDurableOnly leaves out live-only events where the server can: in watching, not on a fresh RunTask.
func WithDurableOnly() RunOption { return func(run *TaskRun) { run.durableOnly = true } }

// WithInterruptions has the function called each time the connection is lost and will be made again.
func WithInterruptions(observe func(Interruption)) RunOption {
	return func(run *TaskRun) { run.onInterruption = observe }
}

func newRun(ctx context.Context, client *Client, options []RunOption) *TaskRun {
	ctx, cancel := context.WithCancelCause(ctx)
	run := &TaskRun{
		ctx: ctx, cancel: cancel, client: client,
		opening:  &backspacev1.RunTaskRequest{},
		patience: patience{reconnect: client.reconnect},
	}
	for _, option := range options {
		option(run)
	}
	return run
}

// Task is the Task's name, tasks/{id}; known from the first event on, empty before.
func (r *TaskRun) Task() string { return r.task }

// LastSequence is the last durable event that was delivered: where another watcher could go on.
func (r *TaskRun) LastSequence() uint64 { return r.lastSequence }

// Close stops following; the Task goes on. A run that ended has nothing left to close.
func (r *TaskRun) Close() { r.cancel(errClosed) }

// Events iterates over the events up to the last; an error comes at most once and last. Leaving the loop closes the run.
func (r *TaskRun) Events() iter.Seq2[*backspacev1.TaskEvent, error] {
	return func(yield func(*backspacev1.TaskEvent, error) bool) {
		defer r.Close()
		for {
			event, err := r.Next()
			if err == io.EOF || !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Next returns the next event; io.EOF after TaskFinished, after an error, and when the run was closed.
func (r *TaskRun) Next() (*backspacev1.TaskEvent, error) {
	for !r.ended {
		event, err := r.step()
		if err != nil {
			err = r.recover(err)
		}
		if err != nil {
			r.end()
			return nil, err
		}
		if event != nil {
			if event.GetTaskFinished() != nil {
				r.end()
			}
			return event, nil
		}
	}
	return nil, io.EOF
}

func (r *TaskRun) end() {
	r.ended = true
	r.drop()
	r.cancel(errClosed)
}

func (r *TaskRun) drop() {
	if r.stream != nil {
		r.stream.cancel()
		r.stream = nil
	}
}

func (r *TaskRun) step() (*backspacev1.TaskEvent, error) {
	if r.ctx.Err() != nil {
		return nil, context.Cause(r.ctx)
	}
	if r.stream == nil {
		opened, err := r.open()
		if err != nil {
			return nil, callError(err)
		}
		r.stream = opened
	}
	task, event, err := r.stream.receive()
	switch {
	case err == io.EOF:
		return nil, r.closedByServer()
	case err != nil:
		return nil, callError(err)
	default:
		return r.accept(task, event)
	}
}

func (r *TaskRun) open() (*stream, error) {
	ctx, cancel := context.WithCancel(r.ctx)
	opened := &stream{cancel: cancel, silent: true}
	if r.task == "" {
		source, err := r.client.raw.RunTask(ctx, r.opening)
		if err != nil {
			cancel()
			return nil, err
		}
		opened.receive = func() (string, *backspacev1.TaskEvent, error) {
			response, err := source.Recv()
			return response.GetTask(), response.GetEvent(), err
		}
		return opened, nil
	}
	source, err := r.client.raw.WatchTask(ctx, &backspacev1.WatchTaskRequest{
		Name: r.task, AfterSequence: r.lastSequence, DurableOnly: r.durableOnly,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	opened.receive = func() (string, *backspacev1.TaskEvent, error) {
		response, err := source.Recv()
		return "", response.GetEvent(), err
	}
	return opened, nil
}

// accept takes a response in; returns the event to deliver, if it is one.
func (r *TaskRun) accept(task string, event *backspacev1.TaskEvent) (*backspacev1.TaskEvent, error) {
	if r.task == "" {
		if task == "" {
			return nil, &ContractError{"the first response of RunTask names no task"}
		}
		r.task = task
	}
	expected := r.lastSequence + 1
	switch {
	case event == nil:
		return nil, nil
	case event.Sequence == 0:
		r.heard()
		return event, nil
	case event.Sequence < expected:
		return nil, nil
	case event.Sequence > expected:
		// An event is missing: ask again for what comes after the last one, a few times.
		r.holes++
		if r.holes > maxHoles {
			return nil, &ContractError{"an event was left out of the stream again and again"}
		}
		return nil, transportFault("event %d was left out of the stream", expected)
	}
	r.heard()
	r.holes = 0
	r.lastSequence = event.Sequence
	return event, nil
}

func (r *TaskRun) heard() {
	r.patience.heard()
	r.stream.silent = false
}

// closedByServer asks for the Task when nothing came on the stream: perhaps there is nothing more to come.
func (r *TaskRun) closedByServer() error {
	silent := r.stream.silent
	r.drop()
	early := transportFault("the stream ended before the task did")
	if r.task == "" || !silent {
		return early
	}
	task, err := r.client.GetTask(r.ctx, r.task)
	if err != nil {
		return err
	}
	switch task.GetState() {
	case backspacev1.Task_STATE_SUCCEEDED, backspacev1.Task_STATE_FAILED, backspacev1.Task_STATE_CANCELLED:
		if task.LastSequence <= r.lastSequence {
			return io.EOF
		}
	}
	return early
}

// recover decides what a failure means: a wait (then it returns nil), or the end with an error.
func (r *TaskRun) recover(err error) error {
	r.drop()
	if r.ctx.Err() != nil {
		if context.Cause(r.ctx) == errClosed {
			return io.EOF
		}
		return context.Cause(r.ctx)
	}
	failed, ok := err.(*CallError)
	if !ok {
		return err
	}
	// A refused RunTask is the caller's to see at once, also when it may be repeated later: a rate limit is an answer.
	// An unavailable server is not.
	if r.task == "" && failed.Code == codes.ResourceExhausted && failed.Origin == Server {
		return failed
	}
	interruption, err := r.patience.fail(failed, r.task, r.lastSequence)
	if err != nil {
		return err
	}
	if r.onInterruption != nil {
		r.onInterruption(interruption)
	}
	// An end of the context is noticed by the next step.
	wait(r.ctx, interruption.Delay)
	return nil
}

func wait(ctx context.Context, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
