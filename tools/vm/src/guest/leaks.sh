# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# The last scenario of a boot of the debugging kernel, which finds memory that nothing points to, once it is
# five seconds old.

found=/sys/kernel/debug/kmemleak

# Of what kmemleak says, all but what a mistake of the kernel's own loses (lost_by).
leaks() {
	touch /tmp/.lost_by
	awk -v names=/tmp/.lost_by '
		BEGIN { while ((getline name <names) > 0) known[name] }
		function flush() {
			for (name in known) if (index(block, name)) block = ""
			printf "%s", block
			block = ""
		}
		/^unreferenced object/ { flush() }
		{ block = block $0 "\n" }
		END { flush() }'
}

sleep 5
# What has changed since the first time is only suspected the second time.
echo scan >$found
echo scan >$found
leaks <$found >/tmp/.leaks
if [ -s /tmp/.leaks ]; then
	fail "no memory is lost" "$(head -n 100 /tmp/.leaks)"
else
	ok "no memory is lost"
fi
