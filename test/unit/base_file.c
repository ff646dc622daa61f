#include "base/file.h"
#include "base/memory.h"
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Run in a fresh folder; count the entries in it.
static int count_entries(const char *folder) {
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.' || (e->d_name[1] && e->d_name[1] != '.');
    if (d)
        closedir(d);
    return n;
}

static bool holds(const char *path, const char *text) {
    struct buffer b = {0};
    bool same = file_read(path, 1 << 26, &b) == OK && b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
    buffer_release(&b);
    return same;
}

static void write_and_replace(void) {
    struct output *out;
    CHECK_OK(file_write("a", "old", 3));
    CHECK_OK(output_open(&out, "a", true));
    CHECK_EQUAL_STRING(output_name(out), "a");
    CHECK_OK(output_write(out, "new content", 11));
    CHECK(holds("a", "old")); // nothing to see before the commit
    CHECK_EQUAL_INT(count_entries("."), 2);
    CHECK_OK(output_commit(out));
    CHECK(holds("a", "new content"));
    CHECK_EQUAL_INT(count_entries("."), 1);

    CHECK_OK(output_open(&out, "a", true));
    CHECK_OK(output_write(out, "never", 5));
    output_abort(out);
    output_abort(NULL);
    CHECK(holds("a", "new content"));
    CHECK_EQUAL_INT(count_entries("."), 1);

    // Two writers of one name do not meet; the last commit stays.
    struct output *other;
    CHECK_OK(output_open(&out, "a", false));
    CHECK_OK(output_open(&other, "a", false));
    CHECK_OK(output_write(out, "one", 3));
    CHECK_OK(output_write(other, "two", 3));
    CHECK_OK(output_commit(other));
    CHECK(holds("a", "two"));
    CHECK_OK(output_commit(out));
    CHECK(holds("a", "one"));

    // A symbolic link stays a link; what it names is replaced.
    CHECK(symlink("a", "link") == 0);
    CHECK_OK(file_write("link", "through", 7));
    struct stat status;
    CHECK(lstat("link", &status) == 0 && S_ISLNK(status.st_mode));
    CHECK(holds("a", "through"));

    umask(027);
    CHECK_OK(file_write("modes", "", 0));
    CHECK(stat("modes", &status) == 0 && (status.st_mode & 0777) == 0640);
    umask(022);
}

static int count_unfinished(const char *folder) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += path_is_unfinished(e->d_name);
    if (d)
        closedir(d);
    return n;
}

static void know_unfinished(void) {
    struct output *out, *other;
    CHECK_OK(output_open(&out, "out.tmp.1.2", false)); // a name like another's
    CHECK_OK(output_open(&other, "out", false));
    CHECK_EQUAL_INT(count_unfinished("."), 2);
    CHECK_OK(output_commit(out));
    output_abort(other);
    CHECK_EQUAL_INT(count_unfinished("."), 0);
    CHECK(unlink("out.tmp.1.2") == 0);
    static const char *const others[] = {"%ld",           "a.tmp.%ld",  "a.tmp.%ld.",   "a.tmp.%ld.1x",
                                         "a.tmp.%ld.1/b", ".tmp.%ld.1", "a.tmp.1%ld.1", "a.temp.%ld.1"};
    char path[64];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(path, sizeof path, others[i], (long)getpid());
        CHECK(!path_is_unfinished(path));
    }
}

static void write_in_all_sizes(void) {
    static uint8_t data[3 << 20], back[3 << 20];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    struct output *out;
    CHECK_OK(output_open(&out, "sizes", true));
    size_t at = 0;
    for (size_t n = 1; at < sizeof data; n = n * 3 + 1) {
        if (n > 700000)
            n = 1;
        size_t size = n < sizeof data - at ? n : sizeof data - at;
        if (output_write(out, data + at, size) != OK)
            break;
        at += size;
    }
    CHECK_OK(output_commit(out));
    int fd;
    size_t got;
    uint64_t size;
    CHECK_OK(input_open(&fd, "sizes"));
    CHECK_OK(file_size(fd, &size));
    CHECK_EQUAL_INT(size, sizeof data);
    CHECK_OK(input_read(fd, back, sizeof back, &got));
    CHECK(got == sizeof data && memcmp(data, back, got) == 0);
    CHECK_OK(input_read(fd, back, 1, &got));
    CHECK_EQUAL_INT(got, 0);
    CHECK_OK(input_read_at(fd, sizeof data - 10, back, 100, &got));
    CHECK(got == 10 && memcmp(back, data + sizeof data - 10, 10) == 0);
    CHECK_ERROR(input_read_at(fd, UINT64_MAX, back, 1, &got), ERROR_INPUT);
    input_close(fd);
}

static void fail_as_told(void) {
    struct output *out;
    struct buffer b = {0};
    int fd;
    CHECK_OK(output_open(&out, "/dev/full", true));
    CHECK_OK(output_write(out, "x", 1));
    CHECK_ERROR(output_commit(out), ERROR_SYSTEM);
    CHECK_EQUAL_STRING(error_message(), "/dev/full: write failed: No space left on device");
    static char big[1 << 20];
    CHECK_OK(output_open(&out, "/dev/full", true));
    CHECK_ERROR(output_write(out, big, sizeof big), ERROR_SYSTEM);
    CHECK_ERROR(output_write(out, "x", 1), ERROR_SYSTEM);
    CHECK_ERROR(output_commit(out), ERROR_SYSTEM);
    CHECK_EQUAL_STRING(error_message(), "/dev/full: write failed: No space left on device");

    CHECK_ERROR(output_open(&out, "absent/a", true), ERROR_SYSTEM);
    CHECK_MESSAGE("absent/a: cannot create: No such file");
    CHECK(out == NULL);
    CHECK_ERROR(output_open(&out, ".", true), ERROR_SYSTEM);
    CHECK_ERROR(input_open(&fd, "absent"), ERROR_SYSTEM);
    CHECK_EQUAL_STRING(error_message(), "absent: cannot open: No such file or directory");
    CHECK_ERROR(input_open(&fd, "."), ERROR_SYSTEM);
    CHECK_EQUAL_STRING(error_message(), ".: is a directory");

    CHECK_OK(file_write("ten", "0123456789", 10));
    CHECK_OK(file_read("ten", 10, &b));
    CHECK(b.size == 10 && b.data[10] == 0);
    CHECK_ERROR(file_read("ten", 9, &b), ERROR_INPUT);
    CHECK_MESSAGE("ten: larger than");
    CHECK_ERROR(file_read("/dev/zero", 5 << 20, &b), ERROR_INPUT);
    CHECK_OK(file_read("/proc/self/stat", 1 << 20, &b)); // reports a size of 0
    CHECK(b.size > 10);
    CHECK_OK(file_read("/dev/null", 0, &b));
    CHECK(b.size == 0 && b.data[0] == 0);
    buffer_release(&b);
    CHECK_EQUAL_STRING(input_name("-"), "standard input");
    CHECK_EQUAL_STRING(input_name(NULL), "standard input");
}

// A child that dies at work on three files: nothing of them is left, and it died of that signal.
static void die_by(int number) {
    int before = count_entries(".");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        struct output *out;
        for (int i = 0; i < 3; i++) {
            char name[32];
            snprintf(name, sizeof name, "dying.%d", i);
            if (output_open(&out, name, true) != OK || output_write(out, name, 5) != OK)
                _exit(9);
        }
        raise(number);
        _exit(8);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQUAL_INT(WTERMSIG(status), number);
    CHECK_EQUAL_INT(count_entries("."), before);
}

// A signal that the parent ignores (nohup) stays ignored.
static void survive_ignored(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGHUP, SIG_IGN);
        struct output *out;
        if (output_open(&out, "survivor", true) != OK)
            _exit(9);
        raise(SIGHUP);
        _exit(output_commit(out));
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(path_exists("survivor"));
}

static void handle_directories(void) {
    CHECK_OK(directory_make("d/e/f"));
    CHECK_OK(directory_make("d/e/f/"));
    CHECK(path_is_directory("d/e/f"));
    CHECK_OK(file_write("d/e/file", "x", 1));
    CHECK_OK(file_write("d/e/f/file", "x", 1));
    CHECK(symlink("/etc", "d/elsewhere") == 0);
    CHECK_ERROR(directory_make("d/e/file/g"), ERROR_SYSTEM);
    CHECK_MESSAGE("d/e/file");
    CHECK_OK(directory_sync("d"));
    CHECK_OK(path_rename("d/e", "d/g"));
    CHECK(!path_exists("d/e") && path_exists("d/g/f/file"));
    CHECK_ERROR(path_rename("d/e", "d/h"), ERROR_SYSTEM);
    CHECK_OK(directory_remove("d"));
    CHECK(!path_exists("d") && path_exists("/etc/passwd"));
    CHECK_OK(directory_remove("d"));
    char *joined = path_join("a", "b"), *slash = path_join("a/", "b");
    CHECK_EQUAL_STRING(joined, "a/b");
    CHECK_EQUAL_STRING(slash, "a/b");
    free(joined);
    free(slash);
}

static void use_scratch(void) {
    int fd;
    char back[4] = "";
    size_t got;
    int before = count_entries(".");
    setenv("TMPDIR", ".", 1);
    CHECK_OK(scratch_open(&fd));
    CHECK_EQUAL_INT(count_entries("."), before);
    CHECK_OK(descriptor_write_at(fd, 5000000000, "abc", 3));
    CHECK_OK(input_read_at(fd, 5000000000, back, 4, &got));
    CHECK(got == 3 && memcmp(back, "abc", 3) == 0);
    close(fd);
    setenv("TMPDIR", "absent", 1);
    CHECK_ERROR(scratch_open(&fd), ERROR_SYSTEM);
    CHECK_MESSAGE("absent");
}

static void peek(void) {
    int fd, ends[2];
    char bytes[8] = "";
    size_t got;
    CHECK(pipe(ends) == 0 && write(ends[1], "abcdef", 6) == 6);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(input_peek(ends[0], bytes, 4, &got));
        CHECK(got == 4 && memcmp(bytes, "abcd", 4) == 0);
    }
    close(ends[1]);
    CHECK_OK(input_peek(ends[0], bytes, 8, &got)); // the writer is gone
    CHECK(got == 6);
    CHECK_OK(input_read(ends[0], bytes, 8, &got));
    CHECK(got == 6 && memcmp(bytes, "abcdef", 6) == 0);
    CHECK_OK(input_peek(ends[0], bytes, 8, &got));
    CHECK_EQUAL_INT(got, 0);
    close(ends[0]);

    CHECK_OK(file_write("peek", "abcdef", 6));
    CHECK_OK(input_open(&fd, "peek"));
    CHECK(lseek(fd, 4, SEEK_SET) == 4);
    CHECK_OK(input_peek(fd, bytes, 8, &got));
    CHECK(got == 2 && memcmp(bytes, "ef", 2) == 0 && lseek(fd, 0, SEEK_CUR) == 4);
    input_close(fd);
}

int main(void) {
    signal(SIGHUP, SIG_DFL); // nohup has it ignored, a shell's background job the two others
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    char folder[] = "/tmp/tacit-unit.XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    umask(022);
    write_and_replace();
    know_unfinished();
    write_in_all_sizes();
    fail_as_told();
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        die_by(numbers[i]);
    survive_ignored();
    handle_directories();
    peek();
    use_scratch();
    CHECK_OK(directory_remove(folder));
    return check_report();
}
