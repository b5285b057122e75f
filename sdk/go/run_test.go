package backspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

var impatient = Reconnect{InitialDelay: 100 * time.Microsecond, LongestDelay: time.Millisecond, GiveUpAfter: 30 * time.Second}

func clientOf(t *testing.T, served *fake, reconnect Reconnect) *Client {
	t.Helper()
	client, err := New(served.address, Options{Reconnect: reconnect})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func all(run *TaskRun) (events []*backspacev1.TaskEvent, err error) {
	for event, err := range run.Events() {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

func expectEvents(t *testing.T, got, expected []*backspacev1.TaskEvent) {
	t.Helper()
	if !slices.EqualFunc(got, expected, func(a, b *backspacev1.TaskEvent) bool { return proto.Equal(a, b) }) {
		t.Fatalf("got %v, expected %v", got, expected)
	}
}

func expectCalls(t *testing.T, served *fake, expected ...string) {
	t.Helper()
	if got := served.seen(); !slices.Equal(got, expected) {
		t.Fatalf("got %q, expected %q", got, expected)
	}
}

func TestAStreamThatEndsAtAnyEventLosesAndRepeatsNothing(t *testing.T) {
	for name, ends := range map[string]func(int) ending{"closed": closed, "failed": failed} {
		for after := range 7 {
			t.Run(fmt.Sprintf("%s after %d", name, after), func(t *testing.T) {
				served := serve(t, eventLog(6), ends(after), ends(after), ends(after))
				run := clientOf(t, served, impatient).RunTask(t.Context(), &backspacev1.TaskSpec{})
				events, err := all(run)
				if err != nil {
					t.Fatal(err)
				}
				expectEvents(t, events, eventLog(6))
				if run.Task() != taskName || run.LastSequence() != 6 {
					t.Fatal(run.Task(), run.LastSequence())
				}
			})
		}
	}
}

func TestARunWhoseFirstCallWasLostIsRepeatedUnderTheSameIDAndThenWatched(t *testing.T) {
	served := serve(t, eventLog(6),
		refused(status.Error(codes.Unavailable, "connection reset")),
		failed(2), closed(1),
		ending{after: 1, err: ofTheServer(codes.Unavailable, time.Millisecond)},
	)
	interruptions := 0
	run := clientOf(t, served, impatient).RunTask(t.Context(), &backspacev1.TaskSpec{}, WithInterruptions(func(lost Interruption) {
		if lost.Failures != 1 || lost.Error.Error() == "" {
			t.Errorf("%+v", lost)
		}
		interruptions++
	}))
	events, err := all(run)
	if err != nil {
		t.Fatal(err)
	}
	expectEvents(t, events, eventLog(6))
	calls := served.seen()
	if len(calls) != 5 || calls[0] != calls[1] || !strings.HasPrefix(calls[0], "run ") || len(calls[0]) != len("run ")+36 {
		t.Fatalf("%q", calls)
	}
	if !slices.Equal(calls[2:], []string{"watch 2", "watch 3", "watch 4"}) || interruptions != 4 {
		t.Fatalf("%q, %d interruptions", calls, interruptions)
	}
}

func TestLiveEventsPassThroughInTheirPlace(t *testing.T) {
	log := slices.Insert(eventLog(3), 1, live(1, 0, "a"), live(1, 1, "b"))
	events, err := all(clientOf(t, serve(t, log), impatient).RunTask(t.Context(), &backspacev1.TaskSpec{}))
	if err != nil {
		t.Fatal(err)
	}
	expectEvents(t, events, log)
}

func TestAHoleIsAskedForAgainAndNeverPassedOn(t *testing.T) {
	served := serve(t, eventLog(5), hole(3))
	events, err := all(clientOf(t, served, impatient).Watch(t.Context(), taskName, 0))
	if err != nil {
		t.Fatal(err)
	}
	expectEvents(t, events, eventLog(5))
	expectCalls(t, served, "watch 0", "watch 2")
}

func TestAnEventThatComesAgainIsNotPassedOnAgain(t *testing.T) {
	served := serve(t, eventLog(5), closed(3), ending{after: -1, fromStart: true})
	events, err := all(clientOf(t, served, impatient).RunTask(t.Context(), &backspacev1.TaskSpec{}))
	if err != nil {
		t.Fatal(err)
	}
	expectEvents(t, events, eventLog(5))
	if calls := served.seen(); !slices.Equal(calls[1:], []string{"watch 3"}) {
		t.Fatalf("%q", calls)
	}
}

func TestAHoleThatStaysIsAnError(t *testing.T) {
	served := serve(t, eventLog(5), hole(3), hole(3), hole(3), hole(3), hole(3))
	run := clientOf(t, served, impatient).Watch(t.Context(), taskName, 0)
	events, err := all(run)
	var contract *ContractError
	if !errors.As(err, &contract) {
		t.Fatal(err)
	}
	expectEvents(t, events, eventLog(5)[:2])
	if _, err := run.Next(); err != io.EOF {
		t.Fatal(err)
	}
}

func TestAnswersOfTheServerEndTheRunAtOnce(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.Internal, codes.OutOfRange, codes.Unauthenticated} {
		served := serve(t, eventLog(5), refused(ofTheServer(code, 0)))
		_, err := all(clientOf(t, served, impatient).Watch(t.Context(), taskName, 0))
		var call *CallError
		if !errors.As(err, &call) || call.Code != code || call.Reason != "REASON_X" || call.Metadata["key"] != "value" {
			t.Fatalf("%v: %+v", code, err)
		}
		if status.Code(err) != code {
			t.Fatal(status.Code(err))
		}
		expectCalls(t, served, "watch 0")
	}
}

func TestARateLimitIsTheCallersToSeeBeforeThereIsATaskAndWaitedForAfter(t *testing.T) {
	limited := refused(ofTheServer(codes.ResourceExhausted, time.Millisecond))
	_, err := all(clientOf(t, serve(t, eventLog(5), limited), impatient).RunTask(t.Context(), &backspacev1.TaskSpec{}))
	var call *CallError
	if !errors.As(err, &call) || call.RetryAfter == nil || *call.RetryAfter != time.Millisecond {
		t.Fatalf("%+v", err)
	}
	events, err := all(clientOf(t, serve(t, eventLog(5), limited), impatient).Watch(t.Context(), taskName, 0))
	if err != nil {
		t.Fatal(err)
	}
	expectEvents(t, events, eventLog(5))
}

func TestWatchingAfterTheLastEventOfAFinishedTaskEnds(t *testing.T) {
	served := serve(t, eventLog(5))
	events, err := all(clientOf(t, served, impatient).Watch(t.Context(), taskName, 5))
	if err != nil || len(events) != 0 {
		t.Fatal(events, err)
	}
	expectCalls(t, served, "watch 5", "get")
}

func TestAServerThatStaysAwayIsGivenUpWithThePlaceToGoOnFrom(t *testing.T) {
	endings := append([]ending{closed(2)}, slices.Repeat([]ending{refused(status.Error(codes.Unavailable, "refused"))}, 10_000)...)
	reconnect := impatient
	reconnect.GiveUpAfter = 50 * time.Millisecond
	events, err := all(clientOf(t, serve(t, eventLog(5), endings...), reconnect).RunTask(t.Context(), &backspacev1.TaskSpec{}))
	var lost *LostError
	if !errors.As(err, &lost) || lost.Task != taskName || lost.LastSequence != 2 {
		t.Fatalf("%+v", err)
	}
	expectEvents(t, events, eventLog(5)[:2])
}

func TestARunEndsWithItsContextAndWhenItIsClosed(t *testing.T) {
	client := clientOf(t, serve(t, eventLog(5)), impatient)
	ctx, cancel := context.WithCancel(t.Context())
	run := client.Watch(ctx, taskName, 0)
	if _, err := run.Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := all(run); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	run = client.Watch(t.Context(), taskName, 0)
	run.Close()
	if _, err := run.Next(); err != io.EOF {
		t.Fatal(err)
	}
}
