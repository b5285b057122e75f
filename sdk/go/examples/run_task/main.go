// The command run_task runs a Task and prints what happens: go run ./examples/run_task REPOSITORY INSTRUCTION.
//
// The server is BACKSPACE_SERVER (http://127.0.0.1:8000 without it), the token BACKSPACE_TOKEN.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	backspace "github.com/backspace-dev/backspace/sdk/go"
	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: run_task REPOSITORY INSTRUCTION")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "run_task:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, repository, instruction string) error {
	address := cmp.Or(os.Getenv("BACKSPACE_SERVER"), "http://127.0.0.1:8000")
	client, err := backspace.Connect(ctx, address, backspace.Options{Token: os.Getenv("BACKSPACE_TOKEN")})
	if err != nil {
		return err
	}
	defer client.Close()

	run := client.RunTask(ctx, &backspacev1.TaskSpec{
		Instruction: instruction,
		Repository:  &backspacev1.Repository{Url: repository},
	}, backspace.WithInterruptions(func(lost backspace.Interruption) {
		fmt.Fprintf(os.Stderr, "%v; connecting again\n", lost.Error)
	}))
	var task *backspacev1.Task
	for event, err := range run.Events() {
		if err != nil {
			return err
		}
		switch payload := event.Payload.(type) {
		case *backspacev1.TaskEvent_StateChanged:
			fmt.Println(event.Sequence, payload.StateChanged.State)
		case *backspacev1.TaskEvent_ToolCallFinished:
			fmt.Println(event.Sequence, payload.ToolCallFinished.Tool, payload.ToolCallFinished.Command)
		case *backspacev1.TaskEvent_TaskFinished:
			fmt.Println(event.Sequence, "finished")
			task = payload.TaskFinished.Task
		default:
			// A newer server may send what this program does not know. Live-only events have no sequence.
			if event.Sequence > 0 {
				fmt.Printf("%d %T\n", event.Sequence, payload)
			}
		}
	}
	fmt.Println(task.GetName(), task.GetState(), task.GetResult().GetSummary()+task.GetFailure().GetMessage())

	patch := client.ReadArtifact(ctx, task.GetName()+"/artifacts/patch")
	defer patch.Close()
	if _, err := io.Copy(os.Stdout, patch); err != nil {
		return err
	}
	if task.GetState() != backspacev1.Task_STATE_SUCCEEDED {
		return errors.New("the task did not succeed")
	}
	return nil
}
