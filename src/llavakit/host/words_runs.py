"""What the host says about runs that go on: following, detaching, stopping, listing."""

from __future__ import annotations

from llavakit.host.words_form import Words

TABLE: dict[str, Words] = {
    # --- labels ---
    "label.detached": Words("detached", "后台运行"),
    "label.attach": Words("attach", "跟踪"),
    "label.stop": Words("stop", "停止"),
    "label.notice": Words("notice", "通知"),
    # --- a stage ---
    "stage.adopted": Words(
        "still runs ({job}) though its command is gone; going on with it",
        "任务仍在运行({job}),启动它的命令已不在;接着跟踪",
    ),
    "stage.ended": Words("done", "完成"),
    "stage.settled": Words(
        "was finished after its command had been killed; the record is complete now",
        "已在命令被终止后自行完成;运行记录现已补全",
    ),
    "stage.had-failed": Words(
        "had ended after its command was killed: {what}", "在命令被终止后已结束:{what}"
    ),
    "stage.stopping": Words(
        "stopping: it has {seconds:.0f} s to end cleanly; Ctrl-C again ends it at once",
        "正在停止:最多等待 {seconds:.0f} 秒使其正常结束;再按一次 Ctrl-C 立即结束",
    ),
    "stage.gpu-taken": Words(
        "{gpu} is in use by {who}; waiting for its turn", "{gpu} 正被占用:{who};排队等待"
    ),
    # --- following ---
    "follow.waits": Words("waits for {who}", "正在等待 {who}"),
    "attach.takes-over": Words(
        "{who} was killed and the job goes on: another process takes over",
        "{who} 已被终止而任务仍在运行:由新的进程接手",
    ),
    # --- train --detach ---
    "detach.started": Words("{run} goes on by itself: {who}", "{run} 已在后台运行:{who}"),
    "detach.already": Words("{run} is in hand already: {who}", "{run} 已在运行:{who}"),
    "detach.attach": Words("to see it", "查看进度"),
    "detach.logs": Words("what it prints", "查看输出"),
    "detach.stop": Words("to end it", "停止"),
    "detach.attach.remedy": Words("invoke attach {run}", "invoke attach {run}"),
    "detach.logs.remedy": Words("invoke logs {run}", "invoke logs {run}"),
    "detach.stop.remedy": Words("invoke stop {run}", "invoke stop {run}"),
    # --- invoke stop ---
    "stop.asked": Words(
        "asked {who} to end; waiting up to {seconds:.0f} s",
        "已请求 {who} 结束;最多等待 {seconds:.0f} 秒",
    ),
    "stop.job": Words("ending the job {job}", "正在结束任务 {job}"),
    "stop.nothing": Words("{run} is not running", "{run} 没有在运行"),
    "stop.resume": Words(
        "`invoke {task}` with the same options goes on from the last checkpoint",
        "用相同的选项再次运行 `invoke {task}`,会从最近的检查点继续",
    ),
    # --- invoke runs ---
    "runs.none": Words(
        "No runs in {folder} yet; `invoke demo` makes one.",
        "{folder} 中还没有运行;`invoke demo` 可以产生一个。",
    ),
    "runs.title": Words("runs in {folder}", "{folder} 中的运行"),
    "runs.run": Words("run", "运行"),
    "runs.state": Words("state", "状态"),
    "runs.since": Words("since", "起始"),
    "runs.count": Words("iter.", "迭代"),
    "runs.score": Words("score", "得分"),
    "runs.where": Words("where", "位置"),
    "runs.running": Words("running", "运行中"),
    "runs.waiting": Words("waiting", "等待中"),
    "runs.finished": Words("finished", "已完成"),
    "runs.failed": Words("failed", "失败"),
    "runs.interrupted": Words("interrupted", "已中断"),
    "runs.begun": Words("begun", "已创建"),
    "runs.measured": Words("measured", "已测量"),
    # --- the notice at the end ---
    "notice.failed": Words("the notice was not delivered: {why}", "通知未能送达:{why}"),
}
