// The entry of the bundle that test_lane_sound.py runs in a browser: one lane of the review, without the page around it.
import { CameraLane } from "../../console/web/src/review/lane.ts";
import { MasterClock } from "../../console/web/src/review/master.ts";
import type { TimelineCamera } from "../../console/web/src/core/types.ts";

const review = (camera: TimelineCamera, t0: number, t1: number): unknown => {
  const master = new MasterClock(t0, t1);
  const lane = new CameraLane(camera, master);
  document.body.append(lane.video);
  lane.open();
  const step = (): void => {
    master.tick();
    lane.step();
    master.hold(lane.waiting);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
  return { lane, master };
};

Object.assign(window, { review });
