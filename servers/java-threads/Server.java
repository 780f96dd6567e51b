import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.concurrent.ConcurrentLinkedDeque;

/**
 * A thread of the kernel per connection, which blocks in read and write.
 *
 * <p>What it costs: per echo two system calls and two switches; per connection a stack of which
 * some 20 KB are touched, and a buffer.
 *
 * <p>The trap: a direct buffer is freed when the collector comes by, which may be late or never, so
 * they are kept for the next connection. And a blocking write returns what one write(2) took, which
 * is rarely but truly less than all of it while the peer reads slowly.
 */
final class Server {
    private static final ConcurrentLinkedDeque<ByteBuffer> FREE = new ConcurrentLinkedDeque<>();

    public static void main(String[] arguments) {
        Contract.run(arguments, Server::serve);
    }

    private static void serve(ServerSocketChannel listener) {
        while (true) {
            try {
                start(listener.accept());
            } catch (IOException noRoom) {
                rest(); // no descriptor: the connection stays queued meanwhile
            }
        }
    }

    private static void start(SocketChannel connection) throws IOException {
        try {
            new Thread(() -> echo(connection)).start();
        } catch (OutOfMemoryError noThread) {
            connection.close(); // refused, the others are served on
        }
    }

    /** Echoes until the peer ends, or the connection fails. */
    private static void echo(SocketChannel connection) {
        ByteBuffer free = FREE.poll();
        ByteBuffer buffer =
                free != null ? free : ByteBuffer.allocateDirect(Contract.BUFFER_BYTES);
        try (connection) {
            if (connection.supportedOptions().contains(StandardSocketOptions.TCP_NODELAY)) {
                connection.setOption(StandardSocketOptions.TCP_NODELAY, true);
            }
            while (connection.read(buffer.clear()) >= 0) {
                buffer.flip();
                while (buffer.hasRemaining()) {
                    connection.write(buffer); // blocks, and may still take a part
                }
            }
        } catch (IOException lost) {
            // The end of this connection and of no other.
        } finally {
            FREE.push(buffer);
        }
    }

    private static void rest() {
        try {
            Thread.sleep(Contract.REST_MS);
        } catch (InterruptedException never) {
            throw new AssertionError(never);
        }
    }
}
