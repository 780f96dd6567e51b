import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

/**
 * One thread with a Selector, which is level-triggered epoll.
 *
 * <p>How it waits: select() passes changes of interest on to epoll_ctl, calls epoll_wait and looks
 * each descriptor's key up in a hash map.
 *
 * <p>What it costs: per echo read + write + 1/k of a select. A direct buffer, one for all, spares
 * the copy between the heap, which may move, and the system call.
 *
 * <p>The trap: interest in writing is true nearly always, so it is there only while output is owed.
 */
final class Server {
    private static final int ACCEPTS_MAX = 64; // a storm of connects may not keep others waiting

    private final ByteBuffer buffer = ByteBuffer.allocateDirect(Contract.BUFFER_BYTES);
    private final ServerSocketChannel listener;
    private final Selector selector;
    private final SelectionKey accepting;
    private long restUntilNs;

    public static void main(String[] arguments) {
        Contract.run(arguments, listener -> new Server(listener).serve());
    }

    private Server(ServerSocketChannel listener) throws IOException {
        this.listener = listener;
        listener.configureBlocking(false);
        selector = Selector.open();
        accepting = listener.register(selector, SelectionKey.OP_ACCEPT);
    }

    private void serve() throws IOException {
        while (true) {
            boolean rests = accepting.interestOps() == 0;
            selector.select(this::turn, rests ? Contract.REST_MS : 0);
            if (rests && System.nanoTime() - restUntilNs >= 0) {
                accepting.interestOps(SelectionKey.OP_ACCEPT);
            }
        }
    }

    private void turn(SelectionKey key) {
        if (key == accepting) {
            accept();
            return;
        }
        try {
            echo(key, (SocketChannel) key.channel());
        } catch (IOException lost) {
            close((SocketChannel) key.channel());
        }
    }

    private void accept() {
        try {
            for (int i = 0; i < ACCEPTS_MAX; ++i) {
                SocketChannel connection = listener.accept();
                if (connection == null) {
                    return;
                }
                register(connection);
            }
        } catch (IOException noRoom) {
            // No descriptor: the connection stays queued, and to ask again at once would spin.
            accepting.interestOps(0);
            restUntilNs = System.nanoTime() + Contract.REST_MS * 1_000_000L;
        }
    }

    private void register(SocketChannel connection) {
        try {
            connection.configureBlocking(false);
            if (connection.supportedOptions().contains(StandardSocketOptions.TCP_NODELAY)) {
                connection.setOption(StandardSocketOptions.TCP_NODELAY, true);
            }
            connection.register(selector, SelectionKey.OP_READ);
        } catch (IOException lost) {
            close(connection);
        }
    }

    /** One turn: sends what is owed, the key's attachment, or else reads once and echoes it. */
    private void echo(SelectionKey key, SocketChannel connection) throws IOException {
        if (key.attachment() instanceof ByteBuffer owed) {
            connection.write(owed);
            if (!owed.hasRemaining()) {
                key.attach(null);
                key.interestOps(SelectionKey.OP_READ);
            }
            return;
        }
        buffer.clear();
        if (connection.read(buffer) < 0) {
            close(connection);
            return;
        }
        buffer.flip();
        connection.write(buffer);
        if (buffer.hasRemaining()) {
            key.attach(ByteBuffer.allocate(buffer.remaining()).put(buffer).flip());
            key.interestOps(SelectionKey.OP_WRITE);
        }
    }

    private static void close(SocketChannel connection) {
        try {
            connection.close();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
