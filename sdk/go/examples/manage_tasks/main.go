// The command manage_tasks starts a Task, finds it, cancels it and watches its end: go run ./examples/manage_tasks REPOSITORY.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"

	backspace "github.com/backspace-dev/backspace/sdk/go"
	backspacev1 "github.com/backspace-dev/backspace/sdk/go/backspace/v1"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manage_tasks REPOSITORY")
		os.Exit(2)
	}
	if err := manage(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manage_tasks:", err)
		os.Exit(1)
	}
}

func manage(ctx context.Context, repository string) error {
	address := cmp.Or(os.Getenv("BACKSPACE_SERVER"), "http://127.0.0.1:8000")
	client, err := backspace.Connect(ctx, address, backspace.Options{Token: os.Getenv("BACKSPACE_TOKEN")})
	if err != nil {
		return err
	}
	defer client.Close()

	// An error has the server's code and reason, and every field that was refused.
	bad := &backspacev1.TaskSpec{Repository: &backspacev1.Repository{Url: "no address"}}
	var refused *backspace.CallError
	if _, err := client.CreateTask(ctx, bad, ""); errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Reason)
		for _, violation := range refused.Violations {
			fmt.Println(" ", violation.Field)
		}
	}

	// The same request id joins the same Task: repeat a call whose answer was lost.
	spec := &backspacev1.TaskSpec{
		Instruction: "Take your time",
		Repository:  &backspacev1.Repository{Url: repository},
		Model:       os.Getenv("BACKSPACE_MODEL"),
	}
	requestID := uuid.NewString()
	task, err := client.CreateTask(ctx, spec, requestID)
	if err != nil {
		return err
	}
	again, err := client.CreateTask(ctx, spec, requestID)
	if err != nil {
		return err
	}
	fmt.Println("joined:", again.Name == task.Name)
	for other, err := range client.ListTasks(ctx) {
		if err != nil {
			return err
		}
		if other.Name == task.Name {
			fmt.Println("listed: true")
			break
		}
	}

	if _, err := client.CancelTask(ctx, task.Name, "an example needs no more"); err != nil {
		return err
	}
	// Event 1 says that the Task was queued; go on after it.
	for event, err := range client.Watch(ctx, task.Name, 1, backspace.WithDurableOnly()).Events() {
		if err != nil {
			return err
		}
		fmt.Printf("%d %T\n", event.Sequence, event.Payload)
	}
	if task, err = client.GetTask(ctx, task.Name); err != nil {
		return err
	}
	fmt.Println(task.State)
	return client.DeleteTask(ctx, task.Name)
}
