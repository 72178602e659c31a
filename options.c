// SPDX-License-Identifier: MIT
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

#define DEFAULT_TOP              10
#define DEFAULT_PROC_INTERVAL_MS 100
#define SAMPLE_MAX               (1ULL << 40) /* of --sample: agent/sample.h counts on it */

const char options_help[] =
	"usage: memattach [options] -p PID            profile a running process\n"
	"       memattach [options] -- COMMAND ARGS   start a command and profile it\n"
	"       memattach report CAPTURE [options]    print the report of a saved capture\n"
	"\n"
	"Says which code holds the memory of a process: every allocation since attach, with\n"
	"its call stack. ^C ends the run and leaves the process as it was found.\n"
	"\n"
	"  -p, --pid PID            the process, with all its threads\n"
	"  -d, --duration SEC       end the run after SEC seconds\n"
	"  -i, --interval SEC       a snapshot every SEC seconds\n"
	"  -s, --sample BYTES       record one allocation in so many bytes on average; the figures\n"
	"                           are estimates then (0: record every one; 512K is a good value)\n"
	"  -o, --output FILE        write the report to FILE: .json a capture, .txt text, - text\n"
	"                           to standard output; %p is the PID, %n the number of the\n"
	"                           snapshot; may be given more than once\n"
	"  -n, --top N              how many call stacks the text shows, 0 for all (10)\n"
	"      --sort KEY           live, blocks, total, peak, temporary or growth (live)\n"
	"      --depth N            most frames of a call stack, up to 256 (64)\n"
	"      --unwind HOW         table, libdw or libunwind (table)\n"
	"      --probe HOW          auto, jump or trap (auto)\n"
	"      --alloc SPEC         also record this function: [MODULE!]NAME or MODULE!0xOFFSET,\n"
	"                           then [:size=ARG][:count=ARG][:out=ARG], counted from 1\n"
	"      --free SPEC          likewise, then [:ptr=ARG]\n"
	"      --realloc SPEC       likewise, then [:ptr=ARG][:size=ARG][:count=ARG]\n"
	"      --proc-interval MS   how often to sample /proc (100)\n"
	"      --snapshot NUMBER    of a saved capture: which snapshot to show (the last)\n"
	"      --color WHEN         auto, always or never (auto)\n"
	"  -q, --quiet              no progress, no warnings\n"
	"  -v, --verbose            say what is being done\n"
	"      --help, --version\n"
	"\n"
	"Signals: SIGUSR1 a snapshot now; SIGINT, SIGTERM, SIGHUP final report and detach.\n"
	"Exit status: 0, or that of COMMAND; 2 wrong usage; 125 memattach failed; 126, 127\n"
	"COMMAND cannot be run, was not found. See memattach(1).\n";

enum {
	OPT_SORT = 256,
	OPT_DEPTH,
	OPT_UNWIND,
	OPT_PROBE,
	OPT_ALLOC,
	OPT_FREE,
	OPT_REALLOC,
	OPT_PROC_INTERVAL,
	OPT_SNAPSHOT,
	OPT_COLOR,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"pid", required_argument, NULL, 'p'},
	{"duration", required_argument, NULL, 'd'},
	{"interval", required_argument, NULL, 'i'},
	{"output", required_argument, NULL, 'o'},
	{"top", required_argument, NULL, 'n'},
	{"sample", required_argument, NULL, 's'},
	{"sort", required_argument, NULL, OPT_SORT},
	{"depth", required_argument, NULL, OPT_DEPTH},
	{"unwind", required_argument, NULL, OPT_UNWIND},
	{"probe", required_argument, NULL, OPT_PROBE},
	{"alloc", required_argument, NULL, OPT_ALLOC},
	{"free", required_argument, NULL, OPT_FREE},
	{"realloc", required_argument, NULL, OPT_REALLOC},
	{"proc-interval", required_argument, NULL, OPT_PROC_INTERVAL},
	{"snapshot", required_argument, NULL, OPT_SNAPSHOT},
	{"color", required_argument, NULL, OPT_COLOR},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

/* An integer from min to max. */
static int parse_number(const char *name, const char *text, long min, long max, long *value,
			struct err *err)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	if (errno || end == text || *end || *value < min || *value > max)
		return err_set(err, EINVAL, "%s takes a number from %ld to %ld, not '%s'", name,
			       min, max, text);
	return 0;
}

static int parse_u32(const char *name, const char *text, long min, long max, u32 *value,
		     struct err *err)
{
	long number;
	int ret = parse_number(name, text, min, max, &number, err);

	if (ret == 0)
		*value = (u32)number;
	return ret;
}

static int parse_seconds(const char *name, const char *text, double *value, struct err *err)
{
	char *end;

	*value = strtod(text, &end);
	if (end == text || *end || !isfinite(*value) || *value <= 0 || *value > 1e8)
		return err_set(err, EINVAL, "%s takes a number of seconds above 0, not '%s'", name,
			       text);
	return 0;
}

/* Bytes up to SAMPLE_MAX, with an optional suffix K, M or G, powers of 1024. */
static int parse_bytes(const char *name, const char *text, u64 *bytes, struct err *err)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;
	u64 unit = 1;

	errno = 0;
	*bytes = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		unit = 1ULL << (10 * (suffix - suffixes + 1));
		end++;
	}
	/* strtoull takes a sign, and blanks before it. */
	if (errno || text[0] < '0' || text[0] > '9' || *end || *bytes > SAMPLE_MAX / unit)
		return err_set(
			err, EINVAL,
			"%s takes a number of bytes up to 1024G, or with K, M or G behind it "
			"as in 512K, not '%s'",
			name, text);
	*bytes *= unit;
	return 0;
}

/* The position of text among n words. */
static int parse_word(const char *name, const char *text, const char *const *words, int n,
		      struct err *err)
{
	char all[128] = "";

	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
		strcat(strcat(all, i ? ", " : ""), words[i]);
	}
	return err_set(err, EINVAL, "%s takes one of %s, not '%s'", name, all, text);
}

static int add_custom(struct session_config *session, enum call_kind kind, const char *text,
		      struct err *err)
{
	struct custom_spec *grown =
		realloc(session->customs, (session->customs_n + 1) * sizeof(*grown));
	int ret;

	if (!grown)
		return err_set(err, ENOMEM, "out of memory");
	session->customs = grown;
	ret = custom_spec_parse(&grown[session->customs_n], kind, text, err);
	if (ret == 0)
		session->customs_n++;
	return ret;
}

static int add_output(struct options *options, const char *text, struct err *err)
{
	const char **grown = realloc(options->outputs, (options->outputs_n + 1) * sizeof(*grown));

	if (!grown)
		return err_set(err, ENOMEM, "out of memory");
	options->outputs = grown;
	options->outputs[options->outputs_n++] = text;
	return output_check_name(text, err);
}

static int take_word(struct options *options, int option, const char *text, struct err *err)
{
	static const char *const unwinds[] = {"table", "libdw", "libunwind"};
	static const char *const probes[] = {"auto", "jump", "trap"};
	static const char *const colors[] = {"auto", "always", "never"};
	int n;

	switch (option) {
	case OPT_UNWIND:
		n = parse_word("--unwind", text, unwinds, ARRAY_SIZE(unwinds), err);
		options->session.unwind = (enum unwind_kind)n;
		return n < 0 ? n : 0;
	case OPT_PROBE:
		n = parse_word("--probe", text, probes, ARRAY_SIZE(probes), err);
		options->session.probe = (enum session_probe)n;
		return n < 0 ? n : 0;
	case OPT_COLOR:
		n = parse_word("--color", text, colors, ARRAY_SIZE(colors), err);
		options->color = (enum options_color)n;
		return n < 0 ? n : 0;
	default:
		n = text_sort_parse(text);
		if (n < 0)
			return err_set(err, EINVAL,
				       "--sort takes one of live, blocks, total, peak, temporary, "
				       "growth, not '%s'",
				       text);
		options->text.sort = (enum text_sort)n;
		return 0;
	}
}

static int take_number(struct options *options, int option, const char *text, struct err *err)
{
	struct session_config *session = &options->session;
	long pid;
	int ret;

	switch (option) {
	case 'p':
		if (session->pid)
			return err_set(err, EINVAL, "-p was given twice; one process at a time");
		ret = parse_number("-p", text, 1, INT32_MAX, &pid, err);
		if (ret == 0)
			session->pid = (pid_t)pid;
		return ret;
	case 'd':
		return parse_seconds("-d", text, &session->duration, err);
	case 'i':
		return parse_seconds("-i", text, &session->interval, err);
	case 's':
		return parse_bytes("--sample", text, &session->sample, err);
	case 'n':
		return parse_u32("--top", text, 0, 1000000, &options->text.top, err);
	case OPT_DEPTH:
		return parse_u32("--depth", text, 1, UNWIND_MAX_DEPTH, &session->depth, err);
	case OPT_PROC_INTERVAL:
		return parse_u32("--proc-interval", text, 10, 3600000, &session->proc_interval_ms,
				 err);
	default:
		return parse_u32("--snapshot", text, 1, INT32_MAX, &options->snapshot, err);
	}
}

static int take(struct options *options, int option, char **argv, struct err *err)
{
	struct session_config *session = &options->session;

	switch (option) {
	case 'o':
		return add_output(options, optarg, err);
	case 'q':
	case 'v':
		if (session->log.level != LOG_INFO)
			return err_set(err, EINVAL, "-q and -v contradict each other");
		session->log.level = option == 'q' ? LOG_QUIET : LOG_VERBOSE;
		return 0;
	case OPT_ALLOC:
		return add_custom(session, CALL_ALLOC, optarg, err);
	case OPT_FREE:
		return add_custom(session, CALL_FREE, optarg, err);
	case OPT_REALLOC:
		return add_custom(session, CALL_REALLOC, optarg, err);
	case OPT_SORT:
	case OPT_UNWIND:
	case OPT_PROBE:
	case OPT_COLOR:
		return take_word(options, option, optarg, err);
	case OPT_HELP:
		options->mode = MODE_HELP;
		return 0;
	case OPT_VERSION:
		options->mode = MODE_VERSION;
		return 0;
	case '?':
		return err_set(err, EINVAL, "unknown option '%s'", argv[optind - 1]);
	case ':':
		return err_set(err, EINVAL, "option '%s' needs an argument", argv[optind - 1]);
	default:
		return take_number(options, option, optarg, err);
	}
}

/* What is left after the options, and whether it all goes together. */
static int take_rest(struct options *options, int argc, char **argv, bool after_dashes,
		     struct err *err)
{
	struct session_config *session = &options->session;

	if (options->mode == MODE_HELP || options->mode == MODE_VERSION)
		return 0;
	if (options->mode == MODE_REPORT) {
		if (argc != 1)
			return err_set(err, EINVAL, "report takes one capture file");
		if (session->pid)
			return err_set(err, EINVAL, "report reads a file; -p does not go with it");
		options->capture = argv[0];
		return 0;
	}
	if (options->snapshot)
		return err_set(err, EINVAL, "--snapshot goes with 'memattach report' only");
	if (session->pid && argc)
		return err_set(err, EINVAL, "-p %d and the command '%s' contradict each other",
			       (int)session->pid, argv[0]);
	if (session->pid)
		return 0;
	if (!argc)
		return err_set(err, EINVAL, "name a process with -p PID or a command after --");
	if (!after_dashes)
		return err_set(err, EINVAL, "put -- before the command: memattach [options] -- %s",
			       argv[0]);
	session->command = argv;
	return 0;
}

int options_parse(struct options *options, int argc, char **argv, struct err *err)
{
	int option, ret;

	*options = (struct options){
		.text.top = DEFAULT_TOP,
		.session = {.depth = UNWIND_DEFAULT_DEPTH,
			    .proc_interval_ms = DEFAULT_PROC_INTERVAL_MS,
			    .log.level = LOG_INFO},
	};
	if (argc > 1 && strcmp(argv[1], "report") == 0) {
		options->mode = MODE_REPORT;
		argv++;
		argc--;
	}
	opterr = 0;
	optind = 1;
	/* "+" stops at the command in recording; a capture's name may stand before options. */
	while ((option = getopt_long(argc, argv,
				     options->mode == MODE_REPORT ? ":p:d:i:o:n:s:qv"
								  : "+:p:d:i:o:n:s:qv",
				     long_options, NULL)) != -1) {
		ret = take(options, option, argv, err);
		if (ret)
			return ret;
	}
	ret = take_rest(options, argc - optind, argv + optind,
			optind > 1 && strcmp(argv[optind - 1], "--") == 0, err);
	/* Progress is for a person who watches. */
	if (options->session.log.level == LOG_INFO && !isatty(STDERR_FILENO))
		options->session.log.level = LOG_WARN;
	return ret;
}

void options_deinit(struct options *options)
{
	for (size_t i = 0; i < options->session.customs_n; i++)
		custom_spec_deinit(&options->session.customs[i]);
	free(options->session.customs);
	free(options->outputs);
}
