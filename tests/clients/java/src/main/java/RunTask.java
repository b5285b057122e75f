import backspace.v1.AgentServiceGrpc;
import backspace.v1.AgentServiceOuterClass.ReadArtifactRequest;
import backspace.v1.AgentServiceOuterClass.RunTaskRequest;
import backspace.v1.AgentServiceOuterClass.RunTaskResponse;
import backspace.v1.AgentServiceOuterClass.WatchTaskRequest;
import backspace.v1.Event.TaskEvent;
import backspace.v1.TaskOuterClass.Repository;
import backspace.v1.TaskOuterClass.Task;
import backspace.v1.TaskOuterClass.TaskSpec;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Iterator;
import java.util.UUID;

/**
 * Runs a Task and prints what happens, from the contract alone: arguments HOST:PORT REPOSITORY INSTRUCTION.
 *
 * <p>It shows what the SDKs do: the Task goes on when the connection is lost, so send RunTask again under the same
 * request id until there is a name, then WatchTask after the last sequence.
 */
public final class RunTask {
  private final AgentServiceGrpc.AgentServiceBlockingStub server;
  private final RunTaskRequest request;
  private String name = "";
  private long lastSequence = 0;
  private Task finished = null;

  private RunTask(AgentServiceGrpc.AgentServiceBlockingStub server, RunTaskRequest request) {
    this.server = server;
    this.request = request;
  }

  public static void main(String[] arguments) throws InterruptedException {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    TaskSpec spec = TaskSpec.newBuilder()
        .setInstruction(arguments[2])
        .setRepository(Repository.newBuilder().setUrl(arguments[1]))
        .build();
    RunTaskRequest request =
        RunTaskRequest.newBuilder().setSpec(spec).setRequestId(UUID.randomUUID().toString()).build();
    Task task;
    try {
      RunTask run = new RunTask(AgentServiceGrpc.newBlockingStub(channel), request);
      task = run.follow();
      run.printPatch();
    } finally {
      channel.shutdownNow();
    }
    System.exit(task.getState() == Task.State.STATE_SUCCEEDED ? 0 : 1);
  }

  private Task follow() throws InterruptedException {
    long delayMs = 200;
    while (finished == null) {
      long before = lastSequence;
      try {
        stream();
      } catch (StatusRuntimeException error) {
        // An answer of the server has an ErrorInfo of its own domain; a lost connection has none.
        if (!reasonOf(error).isEmpty() && error.getStatus().getCode() != io.grpc.Status.Code.UNAVAILABLE) {
          throw error;
        }
        System.err.println(error.getMessage() + "; connecting again");
      }
      delayMs = lastSequence > before ? 200 : Math.min(delayMs * 2, 10_000);
      if (finished == null) {
        Thread.sleep(delayMs);
      }
    }
    return finished;
  }

  private void stream() {
    if (name.isEmpty()) {
      for (Iterator<RunTaskResponse> responses = server.runTask(request); responses.hasNext(); ) {
        RunTaskResponse response = responses.next();
        if (!response.getTask().isEmpty()) {
          name = response.getTask();
        }
        take(response.getEvent());
      }
    } else {
      WatchTaskRequest after =
          WatchTaskRequest.newBuilder().setName(name).setAfterSequence(lastSequence).setDurableOnly(true).build();
      server.watchTask(after).forEachRemaining(response -> take(response.getEvent()));
    }
  }

  private void take(TaskEvent event) {
    if (event.getSequence() == 0) {
      return; // Live only.
    }
    lastSequence = event.getSequence();
    System.out.println(lastSequence + " " + event.getPayloadCase());
    if (event.hasTaskFinished()) {
      finished = event.getTaskFinished().getTask();
      System.out.println(name + " " + finished.getState() + " " + finished.getResult().getSummary());
    }
  }

  private void printPatch() {
    ReadArtifactRequest patch = ReadArtifactRequest.newBuilder().setName(name + "/artifacts/patch").build();
    server.readArtifact(patch).forEachRemaining(piece -> System.out.print(piece.getData().toStringUtf8()));
  }

  private static String reasonOf(StatusRuntimeException error) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    for (Any detail : status == null ? java.util.List.<Any>of() : status.getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class) && detail.unpack(ErrorInfo.class).getDomain().equals("backspace")) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      } catch (InvalidProtocolBufferException ignored) {
        // A detail that cannot be read says nothing.
      }
    }
    return "";
  }
}
