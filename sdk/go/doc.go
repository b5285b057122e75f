// Package backspace is the Go SDK of Backspace, a self-hosted coding agent: one sentence in, one pull
// request out.
//
//	client, err := backspace.Connect(ctx, "http://127.0.0.1:8000", backspace.Options{})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	run := client.RunTask(ctx, &backspacev1.TaskSpec{
//		Instruction: "Fix the failing test",
//		Repository:  &backspacev1.Repository{Url: "https://github.com/owner/name"},
//	})
//	for event, err := range run.Events() {
//		if err != nil {
//			return err
//		}
//		fmt.Println(event.Sequence, event.Payload)
//	}
//
// A lost connection is made again and the iteration goes on where it was, each durable event exactly once. The
// generated messages and client are in the package backspacev1.
package backspace

// Version is the version of this module, told to the server in the user agent.
const Version = "0.1.0"
