# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: KUnit suites
# modules: ours/vdpa ours/vdpa_kunit
# timeout: 240
# debugging: only

# What KUnit has to say (Documentation/dev-tools/ktap.rst), as lines that are counted. What else the
# kernel says during a test that fails is the reason.
results() {
	dmesg | sed 's/^\[[ 0-9.]*\] //; s/^\[ *[TC][0-9]*\] //' | awk '
		/^ *# Subtest: / { suite = $3; planned = count = 0; why = "" }
		suite == "" && /^1\.\.[0-9]+$/ { sub(/.*\.\./, ""); suites = $0 }
		suite == "" { next }
		/^    1\.\.[0-9]+$/ { sub(/.*\.\./, ""); planned = $0; next }
		/^    (not )?ok [0-9]+ / {
			bad = $1 == "not"
			text = $0
			sub(/^ *(not )?ok [0-9]+ /, "", text)
			if (text ~ /# SKIP/) bad = 1
			print (bad ? "not ok " : "ok ") suite ": " text
			if (bad) printf "%s", why
			why = ""
			count++
			next
		}
		/^(not )?ok [0-9]+ / {
			if (count != planned || planned == 0)
				print "not ok " suite ": " count " of " planned " tests were run"
			suite = ""
			suites--
			next
		}
		/\.speed: / { next }
		{ why = why "    " $0 "\n" }
		END {
			if (suite != "")
				print "not ok " suite ": did not come to its end"
			else if (suites != 0)
				print "not ok suites that were not run: " suites
		}'
}

# Loading it runs the suites that `kunit.filter_glob=` names.
dmesg -c >/dev/null
load ours/vdpa_kunit
checks results
unload vdpa_kunit vdpa
